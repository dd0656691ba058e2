"""The state of a cohort, saved as a journal: the learned inputs of each batch, and now and then a snapshot of the models.

Forests and calibrators are large, and every batch changes them in many places, but the inputs of a batch are small. To restore
a cohort, its snapshot is read, and the inputs after it are learned again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from streamgauge.models.contract import Floats
from streamgauge.models.persistence.codec import pack, unpack

SNAPSHOT_EVERY = 4096  # events between snapshots

NONE: Floats = np.empty((0, 0))


class CohortInputs(NamedTuple):
    """What the cohort detectors learn from some events.

    Attributes
    ----------
    kind : str
        Kind of the stream.
    features : float64[n, features]
    categories : float64[n, text fields]
        See `Alignment.categories`.
    relations : float64[n, 4 d + 4] or float64[0, 0]
        See `Opinions.relations`.
    """

    kind: str
    features: Floats
    categories: Floats
    relations: Floats = NONE


class CohortJournal:
    """The journal of one partition: a snapshot, and the chunks after it, one for each batch.

    Parameters
    ----------
    prefix : str
        Prefix of all keys: ``{prefix}j{number}`` are chunks, ``{prefix}c{part}`` are the parts of the snapshot.

    Attributes
    ----------
    next : int
        Number of the next chunk.
    snapshot_wanted : bool
        Whether the next save is a snapshot, whatever the number of events.
    """

    kind = "journal"
    version = 3

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.next = 1
        self._chunks: list[int] = []
        self._events_since_snapshot = 0
        self.snapshot_wanted = False

    def due(self, events: int) -> bool:
        """Whether the batch, with this many `events`, is saved as a snapshot instead of a chunk."""
        return self.snapshot_wanted or self._events_since_snapshot + events >= SNAPSHOT_EVERY

    def append(self, learned: list[CohortInputs], raw_scores: Floats, writes: dict[str, bytes]) -> None:
        """Save the learned inputs of a batch.

        Parameters
        ----------
        learned : list of CohortInputs
            Inputs of the cohort detectors, in order.
        raw_scores : float64[n, members + canaries]
            Inputs of the calibrators.
        writes : dict
            The chunk is added to this part of the saved state.
        """
        arrays: dict[str, npt.NDArray[Any]] = {str(k): inputs.features for k, inputs in enumerate(learned)}
        arrays |= {f"c{k}": inputs.categories for k, inputs in enumerate(learned) if inputs.categories.size}
        arrays |= {f"r{k}": inputs.relations for k, inputs in enumerate(learned) if inputs.relations.size}
        meta = {"kinds": [inputs.kind for inputs in learned]}
        writes[f"{self.prefix}j{self.next}"] = pack(self.kind, self.version, meta, {**arrays, "magnitudes": raw_scores})
        self._chunks.append(self.next)
        self.next += 1
        self._events_since_snapshot += len(raw_scores)

    def snapshot(self, parts: dict[str, bytes], writes: dict[str, bytes], deletes: list[str]) -> None:
        """Save the models themselves, by name, and delete the chunks, which are not needed any more."""
        for name, state in parts.items():
            writes[f"{self.prefix}c{name}"] = state
        deletes += [f"{self.prefix}j{number}" for number in self._chunks]
        self._chunks = []
        self._events_since_snapshot = 0
        self.snapshot_wanted = False

    def restore(self, chunks: dict[int, bytes], following: int) -> list[tuple[list[CohortInputs], Floats]]:
        """Read the chunks after the snapshot.

        Parameters
        ----------
        chunks : dict of int to bytes
            By number.
        following : int
            `next` when the journal was saved.

        Returns
        -------
        list of (list of CohortInputs, float64[n, members + canaries])
            What must be learned again, in order: inputs of the cohort detectors and of the calibrators.
        """
        self._chunks, self.next = sorted(chunks), following
        inputs = []
        for number in self._chunks:
            meta, arrays = unpack(chunks[number], self.kind, self.version)
            learned = [
                CohortInputs(kind, arrays[str(k)], arrays.get(f"c{k}", NONE), arrays.get(f"r{k}", NONE))
                for k, kind in enumerate(meta["kinds"])
            ]
            inputs.append((learned, arrays["magnitudes"]))
            self._events_since_snapshot += len(arrays["magnitudes"])
        return inputs
