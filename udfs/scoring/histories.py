"""The last events of each entity, which models of sequences look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.kernel import kernel


@dataclass(slots=True)
class Histories:
    """The last events of each event's entity, for models of sequences. The last step is the event itself.

    Attributes
    ----------
    values : float64[n, steps, fields]
        NaN for steps before the first event of the entity, and for entities without a slot of the rich tier.
    counts : int64[n]
        Events of the entity so far; 0 for an entity without a slot.
    columns : list of int
        The column of each field in the matrix of values.
    """

    values: Floats
    counts: Ints
    columns: list[int] = field(default_factory=list)


def push(rings: Floats, slots: Ints, X: Floats, steps: int = 0, chosen: Sequence[int] = ()) -> Histories:
    """Add events to the histories of their entities, and give the last steps of each event's entity.

    Parameters
    ----------
    rings : float64[slots, d, size + 1]
        The ring of a field holds the number of values so far and the last of them; changed in place.
    slots : int64[n]
        Slot of each event's entity; -1 is none.
    X : float64[n, d]
        Values; NaN is missing.
    steps : int
        Of the histories that are given.
    chosen : sequence of int
        Columns of the fields that are given.
    """
    histories = Histories(np.empty((len(X), steps, len(chosen))), np.zeros(len(X), np.int64), list(chosen))
    _push(rings, slots, X, np.array(chosen, dtype=np.int64), histories.values, histories.counts)
    return histories


@kernel
def _push(rings, slots, X, chosen, values, counts):  # type: ignore[no-untyped-def]
    size, steps = rings.shape[2] - 1, values.shape[1]
    for i in range(X.shape[0]):
        slot = slots[i]
        if slot < 0:
            for s in range(steps):
                for c in range(len(chosen)):
                    values[i, s, c] = math.nan
            continue
        for f in range(X.shape[1]):
            count = int(rings[slot, f, 0])
            rings[slot, f, 1 + count % size] = X[i, f]
            rings[slot, f, 0] = count + 1.0
            counts[i] = max(counts[i], count + 1)
        for c in range(len(chosen)):
            count = int(rings[slot, chosen[c], 0])
            for s in range(steps):
                at = count - steps + s
                values[i, s, c] = rings[slot, chosen[c], 1 + at % size] if at >= 0 else math.nan
