"""Exact Shapley values of a mean over trees, given the trees' own distribution of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats
from streamgauge.models.kernel import kernel


def tree_shap(
    Z: Floats, roots: Any, feature: Any, cut: Any, left: Any, right: Any, size: Floats, value: Floats
) -> Floats:
    """How much each field adds to the trees' mean value, for each event.

    Parameters
    ----------
    Z : float64[n, d]
    roots : int32[trees]
    feature, left, right : int32[nodes]
        Children are -1 at leaves.
    cut : float64[nodes]
        Values at most this go left.
    size : float64[nodes]
        Events that passed each node when the trees were grown.
    value : float64[nodes]
        Only that of leaves counts.

    Returns
    -------
    float64[n, d]
        With the mean value of all data, each row adds up to the event's mean value.

    Notes
    -----
    Lundberg, Erion and Lee, Consistent individualized feature attribution for tree ensembles, 2018, algorithm 2.
    """
    shares = np.zeros(Z.shape)
    depth = 2
    for root in roots:
        depth = max(depth, _depth(root, left, right))
    _shares(Z, roots, feature, cut, left, right, size, value, depth + 2, shares)
    shares /= len(roots)
    return shares


@njit(cache=True)
def _depth(root, left, right):  # type: ignore[no-untyped-def]
    stack, level, deepest = [root], [0], 0
    while len(stack) > 0:
        node, at = stack.pop(), level.pop()
        deepest = max(deepest, at)
        if left[node] >= 0:
            stack.append(left[node])
            stack.append(right[node])
            level.append(at + 1)
            level.append(at + 1)
    return deepest


@kernel
def _extend(field, zero, one, weight, length, z, o, f):  # type: ignore[no-untyped-def]
    field[length], zero[length], one[length] = f, z, o
    weight[length] = 1.0 if length == 0 else 0.0
    for i in range(length - 1, -1, -1):
        weight[i + 1] += o * weight[i] * (i + 1.0) / (length + 1.0)
        weight[i] = z * weight[i] * (length - i) / (length + 1.0)


@kernel
def _unwind(field, zero, one, weight, length, at):  # type: ignore[no-untyped-def]
    """Take the split at `at` out of a path of `length` + 1 splits."""
    o, z = one[at], zero[at]
    following = weight[length]
    for i in range(length - 1, -1, -1):
        if o != 0.0:
            before = weight[i]
            weight[i] = following * (length + 1.0) / ((i + 1.0) * o)
            following = before - weight[i] * z * (length - i) / (length + 1.0)
        else:
            weight[i] = weight[i] * (length + 1.0) / (z * (length - i))
    for i in range(at, length):
        field[i], zero[i], one[i] = field[i + 1], zero[i + 1], one[i + 1]


@kernel
def _unwound_sum(zero, one, weight, length, at):  # type: ignore[no-untyped-def]
    o, z = one[at], zero[at]
    following, total = weight[length], 0.0
    for i in range(length - 1, -1, -1):
        if o != 0.0:
            part = following * (length + 1.0) / ((i + 1.0) * o)
            total += part
            following = weight[i] - part * z * (length - i) / (length + 1.0)
        else:
            total += weight[i] * (length + 1.0) / (z * (length - i))
    return total


@kernel
def _put(whole, parts, at, node, level, length, f, z, o):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    whole[at, 0], whole[at, 1], whole[at, 2], whole[at, 3] = node, level, length, f
    parts[at, 0], parts[at, 1] = z, o


@njit(cache=True)
def _shares(Z, roots, feature, cut, left, right, size, value, depth, shares):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    # the path of splits to a node, one row a level: a child begins with a copy of its parent's
    fields = np.zeros((depth, depth + 1), np.int64)
    zeros, ones, weights = np.zeros((depth, depth + 1)), np.zeros((depth, depth + 1)), np.zeros((depth, depth + 1))
    # nodes to visit: node, level, splits on the path; share of events that come here without and with the field, and the field
    whole, parts = np.zeros((2 * depth, 4), np.int64), np.zeros((2 * depth, 2))
    for i in range(Z.shape[0]):
        for root in roots:
            _put(whole, parts, 0, root, 0, 0, -1, 1.0, 1.0)
            top = 1
            while top > 0:
                top -= 1
                node, level, length, f = whole[top, 0], whole[top, 1], whole[top, 2], whole[top, 3]
                z, o = parts[top, 0], parts[top, 1]
                field, zero, one, weight = fields[level], zeros[level], ones[level], weights[level]
                for k in range(length):
                    field[k], zero[k] = fields[level - 1, k], zeros[level - 1, k]
                    one[k], weight[k] = ones[level - 1, k], weights[level - 1, k]
                _extend(field, zero, one, weight, length, z, o, f)
                if left[node] < 0:
                    for k in range(1, length + 1):
                        part = _unwound_sum(zero, one, weight, length, k)
                        shares[i, field[k]] += part * (one[k] - zero[k]) * value[node]
                    continue
                hot, cold = left[node], right[node]
                if np.float32(Z[i, feature[node]]) > cut[node]:
                    hot, cold = cold, hot
                before_z, before_o = 1.0, 1.0
                for k in range(1, length + 1):
                    if field[k] == feature[node]:  # split on before: both splits become one
                        before_z, before_o = zero[k], one[k]
                        _unwind(field, zero, one, weight, length, k)
                        length -= 1
                        break
                share, f = before_z / size[node], feature[node]
                _put(whole, parts, top, cold, level + 1, length + 1, f, share * size[cold], 0.0)
                _put(whole, parts, top + 1, hot, level + 1, length + 1, f, share * size[hot], before_o)
                top += 2
