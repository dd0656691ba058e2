"""Shape dictionary: how far the last values are from every shape that the field has shown."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.deviation import ROUNDING
from streamgauge.models.detectors.entity.entity_detector import EntityDetector
from streamgauge.models.kernel import kernel

ANCHOR, MEAN, SQUARES, HELD, NUMBERS = 1, 2, 3, 4, 5  # then the ring, and each shape with when it was last matched


class ShapeDictionary(EntityDetector):
    """Difference of the last `samples` values, less their mean, from the nearest known shape.

    It is the root of the mean square, in standard deviations of all history. A shape farther than `near` from all others enters the
    dictionary; when that is full, it replaces the shape that was matched least recently. So usual values in an unusual order are found,
    which value novelty misses. It is not good for heavy tails
    (log-normal values: 30 times too many alerts at 1e-4), nor for random walks. The score is ``m / (m + 0.5)``.

    Parameters
    ----------
    samples : int
        Values of a shape.
    shapes : int
        Most shapes known.
    near : float
        Difference, in standard deviations, below which two shapes count as one.
    stride : int
        Shapes are compared every so many values; in between, the last difference is kept.
    warmup : int
        Values needed before a field is scored, beyond those of one shape.

    Notes
    -----
    Nearest neighbours of subsequences (discords): Keogh, Lin and Fu, HOT SAX, ICDM 2005, with a bounded dictionary.
    """

    name: ClassVar[str] = "shape_dictionary"
    anomaly_kind = "collective"
    tier: ClassVar[Literal["light", "rich"]] = "rich"
    half_score: ClassVar[float] = 0.5

    def __init__(
        self, samples: int = 32, shapes: int = 64, near: float = 0.1, stride: int = 4, warmup: int = 100
    ) -> None:
        self.samples = samples
        self.shapes = shapes
        self.near = near
        self.stride = stride
        self.warmup = warmup

    @property
    def numbers_per_feature(self) -> int:  # noqa: D102
        return NUMBERS + 1 + self.samples + self.shapes * (self.samples + 1)

    def deviations(  # noqa: D102
        self, state: Floats, rows: Ints, X: Floats, times: Ints, learn: bool
    ) -> tuple[Floats, Floats]:
        deviations = np.full(X.shape, np.nan)
        _shapes(
            state,
            rows,
            X,
            self.samples,
            self.near,
            self.stride,
            self.samples + self.warmup,
            learn,
            deviations,
        )
        return deviations, np.full(X.shape, np.nan)

    def _needed(self) -> float:
        return float(self.samples + self.warmup)


@kernel
def _draw(shape, ring, count, value):  # type: ignore[no-untyped-def]
    """The last values, the oldest first and the new one last, less their mean."""
    samples, total = len(shape), 0.0
    for j in range(samples):
        shape[j] = ring[int(count + 1.0 + j) % samples] if j < samples - 1 else value
        total += shape[j]
    for j in range(samples):
        shape[j] -= total / samples


@kernel
def _nearest(shape, known, held):  # type: ignore[no-untyped-def]
    """Sum of squared differences from the nearest known shape, and its number; infinity and -1 where none is known."""
    nearest, which = math.inf, -1
    for s in range(held):
        squares, at = 0.0, s * (len(shape) + 1) + 1
        for j in range(len(shape)):
            squares += (shape[j] - known[at + j]) ** 2
            if squares > nearest:
                break
        if squares < nearest:
            nearest, which = squares, s
    return nearest, which


@kernel
def _place_of_new(cell, matched):  # type: ignore[no-untyped-def]
    """Number that a new shape gets: the next one, or that of the shape matched least recently."""
    held = int(cell[HELD])
    if held < len(matched):
        cell[HELD] += 1.0
        return held
    which = 0
    for s in range(1, len(matched)):
        if matched[s] < matched[which]:
            which = s
    return which


@njit(cache=True)
def _shapes(state, rows, X, samples, near, stride, warmup, learn, deviations):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    shape = np.empty(samples)
    begin = NUMBERS + 1 + samples
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            x, cell = X[i, f], state[rows[i], f]
            if math.isnan(x):
                continue
            count = cell[0]
            anchor = x if count == 0.0 else cell[ANCHOR]
            value = x - anchor
            last = cell[NUMBERS]
            ring = cell[NUMBERS + 1 : begin]
            known = cell[
                begin:
            ]  # of each shape: when it was last matched, and its values; a slice cannot be reshaped here
            compared = count + 1.0 >= samples and count % stride == 0.0
            which = -1
            if compared:
                _draw(shape, ring, count, value)
                nearest, which = _nearest(shape, known, int(cell[HELD]))
                deviation = math.sqrt(cell[SQUARES] / count) if count > 0.0 else 0.0
                last = 0.0
                if which >= 0 and deviation > ROUNDING * abs(anchor):  # less is rounding
                    last = math.sqrt(nearest / samples) / deviation
                elif which >= 0 and nearest > 0.0:
                    last = 1.0
            if count >= warmup:
                deviations[i, f] = last
            if not learn:
                continue
            if compared:
                if which < 0 or last > near:
                    which = _place_of_new(cell, known[:: samples + 1])
                    at = which * (samples + 1) + 1
                    known[at : at + samples] = shape
                known[which * (samples + 1)] = count + 1.0
            ring[int(count) % samples] = value
            delta = value - cell[MEAN]
            cell[MEAN] += delta / (count + 1.0)
            cell[SQUARES] += delta * (value - cell[MEAN])
            cell[0], cell[ANCHOR], cell[NUMBERS] = count + 1.0, anchor, last
