"""Novelty: how far a number is from all that were seen, from a sorted dictionary of weighted centroids."""

from __future__ import annotations

import math

from numba import njit

BANDWIDTHS = 2  # of the standard deviation, of the root of the fourth moment
LEAST_HELD, MOST_HELD = 10.0, 5000.0  # values for which a high novelty is remembered, at the least and most
UNSEEN = 3.0  # values that a gap between those seen may hold, with 95 % certainty: the rule of three
STALE = 0.25  # what a novelty counts that is lower than one remembered
FLOOR = 1e-6  # weight of a value never seen


@njit(cache=True)
def _density(values, weights, size, u, h):  # type: ignore[no-untyped-def]
    """Kernel sum at `u`, the place of the first centroid not below `u`, and the nearest centroid."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if values[middle] < u:
            low = middle + 1
        else:
            high = middle
    total = 0.0
    reach = 18.0 * h  # beyond, a centroid weighs less than the floor
    j = low
    while j < size and values[j] - u <= reach:
        total += weights[j] if values[j] == u else weights[j] * math.exp((u - values[j]) / h)
        j += 1
    j = low - 1
    while j >= 0 and u - values[j] <= reach:
        total += weights[j] * math.exp((values[j] - u) / h)
        j -= 1
    nearest = low
    if low == size or (low > 0 and u - values[low - 1] <= values[low] - u):
        nearest = low - 1
    return total, low, nearest


@njit(cache=True)
def _add(values, weights, size, most, u, h, place, nearest):  # type: ignore[no-untyped-def]
    """Add a value to the nearest centroid if it is near, else insert it; returns the new size."""
    if size > 0 and abs(u - values[nearest]) <= 0.25 * h:
        weights[nearest] += 1.0
        values[nearest] += (u - values[nearest]) / weights[nearest]
        return size
    if size == most:
        closest, gap = 0, math.inf
        for j in range(size - 1):
            between = values[j + 1] - values[j]
            if between < gap:
                closest, gap = j, between
        # an insertion into the narrowest gap of all widens nothing: the new value joins its neighbour then
        if abs(u - values[nearest]) < gap:
            weights[nearest] += 1.0
            values[nearest] += (u - values[nearest]) / weights[nearest]
            return size
        both = weights[closest] + weights[closest + 1]
        values[closest] += (values[closest + 1] - values[closest]) * weights[closest + 1] / both
        weights[closest] = both
        for j in range(closest + 1, size - 1):
            values[j], weights[j] = values[j + 1], weights[j + 1]
        size -= 1
        if place > closest:
            place -= 1
    for j in range(size, place, -1):
        values[j], weights[j] = values[j - 1], weights[j - 1]
    values[place], weights[place] = u, 1.0
    return size + 1


@njit(cache=True)
def surprise_of(cell, size_at, begin, most, u, h, n, learn):  # type: ignore[no-untyped-def]
    """Minus ln of the density at `u` of one dictionary of a cell, and what of it is sure; `u` is learned, if it is to be."""
    values, weights, size = cell[begin : begin + most], cell[begin + most : begin + 2 * most], int(cell[size_at])
    mass, place, nearest = _density(values, weights, size, u, h)
    gap = UNSEEN * min(1.0, h / max(values[place] - values[place - 1], 1e-300)) if 0 < place < size else 0.0
    if learn:
        cell[size_at] = _add(values, weights, size, most, u, h, place, nearest)
    n = max(n, 1.0)
    return max(0.0, -math.log((mass + FLOOR) / n)), max(0.0, -math.log((mass + gap + FLOOR) / n))


@njit(cache=True)
def bandwidth(which, n, moments, anchor):  # type: ignore[no-untyped-def]
    """Of the standard deviation, or of the root of the fourth moment; wider than the rounding of values near `anchor`."""
    h = 0.0
    if n > 1.0:
        h = 0.05 * math.sqrt(moments[1] / n) if which == 0 else 0.03 * (moments[2] / n / 3.0) ** 0.25
    return max(h, 1e-12 * abs(anchor), 1e-300)


@njit(cache=True)
def learn_moments(moments, n, u):  # type: ignore[no-untyped-def]
    """Let mean, variance sum and fourth moment take up the (n + 1)-th value."""
    delta = u - moments[0]
    moments[0] += delta / (n + 1.0)
    moments[1] += delta * (u - moments[0])
    moments[2] += (u - moments[0]) ** 4


@njit(cache=True)
def silenced(cell, recent, since, n, total, refractory, learn):  # type: ignore[no-untyped-def]
    """A novelty, or what it counts soon after a higher one, which the cell remembers."""
    held = min(max(refractory * n, LEAST_HELD), MOST_HELD) if refractory > 0.0 else 0.0
    if total > cell[recent] or n - cell[since] > held:
        if learn:
            cell[recent], cell[since] = total, n
        return total
    return STALE * total
