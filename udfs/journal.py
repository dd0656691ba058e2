"""State of a cohort, saved as a log: what the cohort's models were fed, and a snapshot now and then.

Trees and calibrators are large, and a batch changes them everywhere; what a batch feeds them is small. Restoring is:
read the snapshot, feed the rest again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.persistence.codec import pack, unpack

SNAPSHOT_EVERY = 4096  # events between snapshots of the calibrators


@dataclass(slots=True)
class _Chunk:
    number: int
    events: int
    usable: int


class Journal:
    """Chunks of one log's journal.

    Parameters
    ----------
    prefix : str
        Of the keys: ``{prefix}j{number}`` are chunks, ``{prefix}c`` is the calibrators' snapshot.
    """

    kind = "journal"
    version = 1

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._chunks: deque[_Chunk] = deque()
        self._next = 1
        self._fresh = self._events = self._usable = 0

    def append(
        self, features: Floats, magnitudes: Floats, needed: int, calibrators: bytes | None,
        writes: dict[str, bytes], deletes: list[str],
    ) -> None:  # fmt: skip
        """Save what a batch fed.

        Parameters
        ----------
        features : float64[m, w]
            Rows fed to the cohort detectors.
        magnitudes : float64[n, detectors]
            Rows fed to the calibrators.
        needed : int
            Trailing rows of features that the cohort detectors can be rebuilt from.
        calibrators : bytes or None
            Snapshot after this batch, where `due` asked for one.
        writes, deletes
            Changes of the saved state are added.
        """
        meta = {"snapshot": calibrators is not None}
        writes[f"{self.prefix}j{self._next}"] = pack(
            self.kind, self.version, meta, {"features": features, "magnitudes": magnitudes}
        )
        self._chunks.append(_Chunk(self._next, len(magnitudes), len(features)))
        self._next += 1
        self._fresh += len(magnitudes)
        self._events += len(magnitudes)
        self._usable += len(features)
        if calibrators is not None:
            writes[f"{self.prefix}c"] = calibrators
            self._fresh = 0
        self._forget(needed, deletes)

    def due(self, events: int) -> bool:
        """Whether a snapshot is due after further `events`."""
        return self._fresh + events >= SNAPSHOT_EVERY

    def _forget(self, needed: int, deletes: list[str]) -> None:
        """Drop the oldest chunks that neither the snapshot nor the detectors need."""
        while self._chunks:
            oldest = self._chunks[0]
            if self._events - oldest.events < self._fresh or self._usable - oldest.usable < needed:
                break
            self._events -= oldest.events
            self._usable -= oldest.usable
            deletes.append(f"{self.prefix}j{oldest.number}")
            self._chunks.popleft()

    def restore(self, chunks: list[tuple[int, bytes]], width: int) -> tuple[Floats, Floats]:
        """Read saved chunks.

        Parameters
        ----------
        chunks : list of (number, bytes)
        width : int
            Features there are now; rows saved before fields were added are filled up with missing values.

        Returns
        -------
        features : float64[m, width]
            All rows saved, oldest first.
        magnitudes : float64[n, detectors]
            Rows since the calibrators' snapshot.
        """
        features: list[Floats] = []
        since: list[Floats] = []
        for number, state in sorted(chunks):
            meta, arrays = unpack(state, self.kind, self.version)
            part = np.full((len(arrays["features"]), width), np.nan)
            part[:, : arrays["features"].shape[1]] = arrays["features"]
            features.append(part)
            since = [] if meta["snapshot"] else [*since, arrays["magnitudes"]]
            self._chunks.append(_Chunk(number, len(arrays["magnitudes"]), len(part)))
            self._events += len(arrays["magnitudes"])
            self._usable += len(part)
            self._next = number + 1
        self._fresh = sum(map(len, since))
        empty = np.empty((0, width))
        return np.concatenate([empty, *features]), np.concatenate(since) if since else np.empty((0, 0))
