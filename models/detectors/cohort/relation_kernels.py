"""Compiled parts of `relations`: residuals and evidence of events in order, and the tails that turn residuals into evidence."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from streamgauge.models.contract import Flags, Floats
from streamgauge.models.kernel import kernel

CLIP = 20.0  # deviations beyond which a value counts no more
LEARNED_CLIP = 3.0  # deviations that a value counts at most where it is learned
SHARE = 0.03  # share of residuals, and of statistics, that lie in the tail
BITS, LOW, STEP = 160, -7.0, 0.1  # histogram of a residual: bins, log2 of the first edge, width in log2
FLOOR = 0.02  # added to residuals, in usual sizes, so that one that is always 0 has a tail
JOINT_BINS, JOINT_STEP = 640, 0.1  # histogram of a joined statistic: bins, width in nats
EPISODE = 0.5 ** (1 / 100)  # an excess is forgotten by half in 100 events; until then only a larger one is learned
INDICATOR = 0.1  # weight of a field that has had at most two values
SPANS = (3.0, 10.0, 30.0, 100.0)  # events that the statistic is smoothed over
SHORT, LONG = 2.0 / 6.0, 2.0 / 31.0  # gains of the means over 5 and over 30 events
LEAST_WEIGHT = 0.05  # of a suspicious event where it is learned
EXCESS_CLIP = 3.0  # mean excesses that an excess of a joined statistic counts at most
CLIPPED = 1.0 / (1.0 - math.exp(-EXCESS_CLIP))  # what that takes from the mean of an exponential law
LEAST_SCALE, MOST_SCALE = (
    0.2,
    1.0,
)  # nats of the statistic to a nat of evidence; 1 where strange events last longer than 100 events
TAIL_SHARE = -math.log(SHARE)
FEW = 30.0  # sizes of a residual; with fewer, nothing is said of its tail
U, SHAPE, NUMBER = range(
    3
)  # columns of `tails`: where the tail begins, mean of ln(residual / U) beyond, number of those
SEEN = 3  # columns of `values_seen`: number of different values, at most 3, and the first two


@kernel
def tail_evidence(residual, tail):  # type: ignore[no-untyped-def]
    """Evidence of an absolute residual: beyond U a Pareto tail, its exponent known from so many excesses only."""
    x = (residual + FLOOR) / tail[U]
    if x <= 1.0:
        return TAIL_SHARE * x * x
    return TAIL_SHARE + (tail[NUMBER] + 1.0) * math.log1p(math.log(x) / (tail[SHAPE] * tail[NUMBER]))


@njit(cache=True)
def fit_tails(counts, tails):  # type: ignore[no-untyped-def]
    """Where each residual's tail begins, and its shape, from the histogram."""
    for j in range(counts.shape[0]):
        total = counts[j].sum()
        if total < FEW:
            tails[j, U], tails[j, SHAPE], tails[j, NUMBER] = math.inf, 1.0, 1.0  # no evidence
            continue
        above, b = 0.0, BITS
        while b > 0 and above + counts[j, b - 1] <= SHARE * (total + 1.0):
            b -= 1
            above += counts[j, b]
        edge = LOW + STEP * b
        if b > 0:
            edge -= STEP * min(max((SHARE * total - above) / max(counts[j, b - 1], 1e-9), 0.0), 1.0)
        tails[j, U] = 2.0**edge + FLOOR
        excess, number = 0.0, 0.0
        for c in range(max(b - 1, 0), BITS):
            x = math.log((2.0 ** (LOW + STEP * (c + 0.5)) + FLOOR) / tails[j, U])
            if x > 0.0:
                excess += counts[j, c] * x
                number += counts[j, c]
        tails[j, SHAPE] = (excess + 0.4) / (number + 2.0)  # as if two excesses of .2 had been seen before
        tails[j, NUMBER] = number + 2.0


@njit(cache=True)
def fit_joint(counts, table):  # type: ignore[no-untyped-def]
    """Evidence at the lower edge of each bin of a joined statistic: counted in the body, an exponential tail beyond."""
    total = counts.sum()
    above, b = 0.0, JOINT_BINS
    while b > 0 and above + counts[b - 1] <= SHARE * total:
        b -= 1
        above += counts[b]
    number = above + 2.0
    scale = max(table[JOINT_BINS + 2], 0.1)
    for _ in range(4):
        excess = 0.0
        for c in range(b, JOINT_BINS):
            excess += counts[c] * min(JOINT_STEP * (c + 0.5 - b), EXCESS_CLIP * scale)
        scale = (excess * CLIPPED + 1.0) / number  # as if two excesses of half a nat had been seen before
    table[JOINT_BINS + 2] = scale
    scale = min(max(scale, LEAST_SCALE), MOST_SCALE)
    begin = -math.log((above + 1.0) / (total + 1.0))
    table[JOINT_BINS + 1] = JOINT_STEP * b
    for c in range(b, JOINT_BINS + 1):
        table[c] = begin + (number + 1.0) * math.log1p(JOINT_STEP * (c - b) / (scale * number))
    for c in range(b - 1, -1, -1):
        above += counts[c]
        table[c] = -math.log((above + 1.0) / (total + 1.0))


@njit(cache=True)
def forget(counts, memory):  # type: ignore[no-untyped-def]
    """Shrink each histogram that holds more than `memory` to that."""
    for k in range(counts.shape[0]):
        held = counts[k].sum()
        if held > memory:
            counts[k] *= memory / held


@njit(cache=True)
def limit_of_suspicion(counts, share):  # type: ignore[no-untyped-def]
    """The statistic that this share of the events in a histogram stay below: the upper edge of its bin."""
    wanted = share * counts.sum()
    seen, b = counts[0], 0
    while b < JOINT_BINS - 1 and seen < wanted:
        b += 1
        seen += counts[b]
    return JOINT_STEP * (b + 1)


@kernel
def merge_moments(own, added, centre, products, mean, cov, totals, memory):  # type: ignore[no-untyped-def]
    """Merge what new events say into means and covariances; returns whether a column has its first values.

    `own` and `added` are the weights of columns and of pairs of them, `centre` and `products` the new means and the sums of products of
    deviations from these; `totals` are the weights so far, of which `memory` counts at most.
    """
    came, w = False, len(mean)
    for j in range(w):
        came |= own[j] > 0.0 and totals[j, j] == 0.0
        for k in range(w):
            before = min(totals[j, k], memory)
            total = before + added[j, k]
            totals[j, k] = total
            if total == 0.0:
                total = 1.0
            if added[j, k] > 0.0:
                cov[j, k] *= before / total
            shifts = (centre[j] - mean[j]) * (centre[k] - mean[k])
            cov[j, k] += products[j, k] / total + shifts * (before * added[j, k] / total**2)
    for j in range(w):
        if totals[j, j] > 0.0:
            mean[j] += (centre[j] - mean[j]) * (own[j] / totals[j, j])
    return came


@kernel
def joint_evidence(statistic, table):  # type: ignore[no-untyped-def]
    """Evidence of a joined statistic, between the edges of its bin by a line."""
    place = min(statistic / JOINT_STEP, JOINT_BINS - 1e-6)
    b = int(place)
    return table[b] + (place - b) * (table[b + 1] - table[b])


@kernel
def _bin(residual):  # type: ignore[no-untyped-def]
    return min(max(int((math.log2(max(residual, 1e-9)) - LOW) / STEP), 0), BITS - 1)


@kernel
def _counted(size, peaks, k, begin):  # type: ignore[no-untyped-def]
    """Whether a size is counted in its histogram; in the tail, only what is more than lately, so an episode counts once."""
    peak = EPISODE * peaks[k]
    peaks[k] = max(peak, size) if size > begin else peak
    return size <= begin or size > peak


@kernel
def _see(value, seen):  # type: ignore[no-untyped-def]
    """Count the different values of a field, up to three."""
    if seen[0] >= SEEN or math.isnan(value):
        return
    for k in range(int(seen[0])):
        if seen[1 + k] == value:
            return
    if seen[0] < SEEN - 1:
        seen[1 + int(seen[0])] = value
    seen[0] += 1.0


@kernel
def _look(z, recent, row, known):  # type: ignore[no-untyped-def]
    """Fill `row` with the values and the entity's means over 5 and 30 events, these learned; a missing value leaves its means."""
    d = len(z)
    for j in range(d):
        known[j] = not math.isnan(z[j])
        value = min(max(z[j], -CLIP), CLIP) if known[j] else 0.0
        for k, gain in ((0, SHORT), (1, LONG)):
            mean = recent[k * d + j]
            if math.isnan(mean):
                mean = value if known[j] else math.nan
            elif known[j]:
                mean += gain * (value - mean)
            recent[k * d + j] = mean
            row[(k + 1) * d + j] = 0.0 if math.isnan(mean) else mean
        row[j] = value


@kernel
def _residuals(row, missing, centre, over, matrix, chance, residual):  # type: ignore[no-untyped-def]
    """Residuals of both models: the values alone give the first half, the values and both means give all.

    What a missing value would explain, by its usual size, counts as chance: the residual is that much smaller.
    """
    w, m = matrix.shape
    d = m // 2
    residual[:], chance[:], some_missing = 0.0, 1.0, False
    for j in range(w):
        if missing[j]:
            some_missing = True
            for k in range(0 if j < d else d, m):
                if k % d != j:
                    chance[k] += matrix[j, k] * matrix[j, k]
    for j in range(w):
        value = 0.0 if missing[j] else (row[j] - centre[j]) * over[j]
        if value != 0.0:
            for k in range(0 if j < d else d, m):
                residual[k] += value * matrix[j, k]
    if some_missing:
        for k in range(m):
            residual[k] /= math.sqrt(chance[k])


@kernel
def _joined(residual, known, seen, tails, fields):  # type: ignore[no-untyped-def]
    """Fill the evidence of fields; returns the largest evidence of a residual."""
    d = len(known)
    largest = 0.0
    for k in range(2 * d):
        j = k % d
        if not known[j]:
            continue
        own = tail_evidence(abs(residual[k]), tails[k])
        if 0.0 < seen[j, 0] < SEEN:
            own *= INDICATOR
        fields[j] = max(fields[j], own - math.log(2.0))  # two models have looked
        largest = max(largest, own)
    return largest


@kernel
def _smoothed(statistic, memory):  # type: ignore[no-untyped-def]
    """Learn the statistic into its means over the spans; returns the mean of these."""
    total = 0.0
    for s in range(len(SPANS)):
        if math.isnan(memory[s]):
            memory[s] = statistic
        memory[s] += 2.0 / (SPANS[s] + 1.0) * (statistic - memory[s])
        total += memory[s]
    return total / len(SPANS)


@kernel
def _count_residuals(residual, known, tails, judged, weight, peaks, counts):  # type: ignore[no-untyped-def]
    """Learn the sizes of residuals into their histograms."""
    for k in range(len(residual)):
        if not known[k % len(known)]:
            continue
        size = abs(residual[k])
        if _counted(size, peaks, k, tails[k, U] - FLOOR if judged > 1 else math.inf):
            counts[k, _bin(size)] += weight


def scratch_for(fields: int) -> tuple[Floats, Floats, Floats, Flags, Flags]:
    """Arrays that `rate` works with: a row, its residuals, their chance, which fields are known, and what of the row is missing."""
    m = 2 * fields
    return np.empty(3 * fields), np.empty(m), np.empty(m), np.zeros(fields, np.bool_), np.zeros(3 * fields, np.bool_)


@kernel
def rate(  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    X,
    slots,
    recent,
    values,
    seen,
    moments,
    matrix,
    tails,
    table,
    counts,
    joint,
    suspicion,
    peaks,
    held,
    weights,
    limit,
    start,
    judged,
    learn,
    scratch,
    evidence,
    fields,
    before,
):
    """Evidence of events in order, then they are learned into histograms and kept in `held` until the next matrix.

    `start` rows are in `held`. `judged` is 0 before the first matrix, 1 while only the histograms of residuals are learned, 2 when
    the evidence of fields is known, 3 when that of events is. `before` is given what was kept of each event's entity, unless it is empty.
    """
    n, d = X.shape
    m = 2 * d
    row, residual, chance, known, missing = scratch
    for i in range(n):
        memory = recent[slots[i]]
        if before.shape[0] > 0:
            for k in range(len(memory)):
                before[i, k] = memory[k]
        _look(X[i], memory, row, known)
        for k in range(3 * d):
            missing[k] = math.isnan(memory[k - d]) if k >= d else not known[k]
            if learn:
                held[start + i, k] = math.nan if missing[k] else min(max(row[k], -LEARNED_CLIP), LEARNED_CLIP)
        fields[i, :] = 0.0
        if learn and values.shape[0] > 0:
            for j in range(d):
                _see(values[i, j], seen[j])
        evidence[i] = math.nan
        weight, statistic, lasting = 1.0, 0.0, 0.0
        if judged > 0:
            _residuals(row, missing, moments[0], moments[1], matrix, chance, residual)
        if judged > 1:
            statistic = _joined(residual, known, seen, tails, fields[i])
            lasting = _smoothed(statistic, memory[m:])
            if judged > 2:
                lead = max(statistic - math.log(2.0), 0.0) - math.log(d)
                evidence[i] = max(0.0, max(joint_evidence(lasting, table), lead) - math.log(2.0))
            weight = max(LEAST_WEIGHT, min(1.0, math.exp(limit - memory[m + 1])))
        if not learn:
            continue
        weights[start + i] = weight
        if judged > 1:
            if _counted(lasting, peaks, m, table[JOINT_BINS + 1]):
                joint[min(int(lasting / JOINT_STEP), JOINT_BINS - 1)] += weight
            suspicion[min(int(memory[m + 1] / JOINT_STEP), JOINT_BINS - 1)] += 1.0
        if judged > 0:
            _count_residuals(residual, known, tails, judged, weight, peaks, counts)
