"""Rewind points: what was known of an entity when its events began to be quarantined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.persistence.codec import pack, unpack

MOST = 100  # rewind points of a partition; the newest are kept


@dataclass(slots=True)
class RewindPoint:
    """What was known of an entity.

    Attributes
    ----------
    number : int
        Of the point, counted from 1 in each partition.
    time : int
        Of the event before which it was so, milliseconds.
    fields : float64[d, numbers]
    rich : float64[d, numbers]
        No rows where the entity was light.
    """

    number: int
    time: int
    fields: Floats
    rich: Floats


class RewindPoints:
    """The rewind points of one partition, by entity.

    Parameters
    ----------
    prefix : str
        Of the keys: ``{prefix}q{number}``.
    """

    kind = "point"
    version = 1

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.of: dict[str, RewindPoint] = {}
        self._next = 1
        self._saved: set[int] = set()

    def keep(self, entity: str, time: int, fields: Floats, rich: Floats) -> None:
        """Keep what is known of an entity; replaces its point before, and the oldest one where there are too many."""
        self.of.pop(entity, None)
        self.of[entity] = RewindPoint(self._next, time, fields.copy(), rich.copy())
        self._next += 1
        if len(self.of) > MOST:
            del self.of[next(iter(self.of))]

    def save(self, writes: dict[str, bytes], deletes: list[str]) -> None:
        """Add what changed to the saved state."""
        now = {point.number: (entity, point) for entity, point in self.of.items()}
        for number in sorted(now.keys() - self._saved):
            entity, point = now[number]
            meta = {"entity": entity, "time": point.time}
            arrays = {"fields": point.fields, "rich": point.rich}
            writes[f"{self.prefix}q{number}"] = pack(self.kind, self.version, meta, arrays)
        deletes += [f"{self.prefix}q{number}" for number in sorted(self._saved - now.keys())]
        self._saved = set(now)

    def restore(self, saved: dict[int, bytes]) -> None:
        """Become what was saved, given by number."""
        for number, state in sorted(saved.items()):
            meta, arrays = unpack(state, self.kind, self.version)
            self.of[meta["entity"]] = RewindPoint(number, meta["time"], arrays["fields"], arrays["rich"])
            self._next = number + 1
        self._saved = set(saved)

    def canonical(self) -> bytes:
        """All of them, in the order in which they were kept."""
        meta = {"points": [[entity, point.time] for entity, point in self.of.items()]}
        numbers = [array.ravel() for point in self.of.values() for array in (point.fields, point.rich)]
        return pack("points", self.version, meta, {"numbers": np.concatenate([np.empty(0), *numbers])})
