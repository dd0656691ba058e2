"""State of a cohort, saved as a log: what the cohort's models were fed, and a snapshot now and then.

Forests and calibrators are large, and a batch changes them everywhere; what a batch feeds them is small. Restoring is:
read the snapshot, feed the rest again.
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
    """What the cohort detectors learn from some events: the kind of stream, features, categories of text fields."""

    kind: str
    features: Floats
    categories: Floats


class CohortJournal:
    """Chunks of one log's journal since the last snapshot.

    Parameters
    ----------
    prefix : str
        Of the keys: ``{prefix}j{number}`` are chunks, ``{prefix}c{part}`` is the snapshot.
    """

    kind = "journal"
    version = 3

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.next = 1
        self._chunks: list[int] = []
        self._fresh = 0
        self.snapshot_wanted = False

    def due(self, events: int) -> bool:
        """Whether to take a snapshot after further `events`, instead of writing a chunk."""
        return self.snapshot_wanted or self._fresh + events >= SNAPSHOT_EVERY

    def append(self, learned: list[CohortInputs], raw_scores: Floats, writes: dict[str, bytes]) -> None:
        """Save what a batch fed.

        Parameters
        ----------
        learned : list of CohortInputs
            To the cohort detectors, in order.
        raw_scores : float64[n, members + canaries]
            To the calibrators.
        writes
            Changes of the saved state are added.
        """
        arrays: dict[str, npt.NDArray[Any]] = {str(k): features for k, (_, features, _) in enumerate(learned)}
        arrays |= {f"c{k}": categories for k, (_, _, categories) in enumerate(learned) if categories.size}
        meta = {"kinds": [kind for kind, _, _ in learned]}
        writes[f"{self.prefix}j{self.next}"] = pack(self.kind, self.version, meta, {**arrays, "magnitudes": raw_scores})
        self._chunks.append(self.next)
        self.next += 1
        self._fresh += len(raw_scores)

    def snapshot(self, parts: dict[str, bytes], writes: dict[str, bytes], deletes: list[str]) -> None:
        """Save the models themselves; the chunks are needed no more."""
        for name, state in parts.items():
            writes[f"{self.prefix}c{name}"] = state
        deletes += [f"{self.prefix}j{number}" for number in self._chunks]
        self._chunks = []
        self._fresh = 0
        self.snapshot_wanted = False

    def restore(self, chunks: dict[int, bytes], following: int) -> list[tuple[list[CohortInputs], Floats]]:
        """What was fed since the snapshot, in order.

        Parameters
        ----------
        chunks : dict
            By number.
        following : int
            `next`, as it was.
        """
        self._chunks, self.next = sorted(chunks), following
        again = []
        for number in self._chunks:
            meta, arrays = unpack(chunks[number], self.kind, self.version)
            learned = [
                CohortInputs(kind, arrays[str(k)], arrays.get(f"c{k}", NONE)) for k, kind in enumerate(meta["kinds"])
            ]
            again.append((learned, arrays["magnitudes"]))
            self._fresh += len(arrays["magnitudes"])
        return again
