"""Rewind points: the state of an entity before its events were quarantined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.persistence.codec import pack, unpack

MOST = 100  # rewind points of a partition; the newest are kept


@dataclass(slots=True)
class RewindPoint:
    """The state of an entity before its quarantine.

    Attributes
    ----------
    number : int
        Number of the point; 1, 2, ... in each partition.
    time : int
        Time of the first quarantined event, in milliseconds since 1970.
    fields : float64[d, width]
        State in the `EntityStore`.
    rich : float64[d, rich width]
        State in the `RichStore`; no rows if the entity was light.
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
        Prefix of the keys: ``{prefix}q{number}``.

    Attributes
    ----------
    of : dict of str to RewindPoint
        By entity, oldest first.
    """

    kind = "point"
    version = 1

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.of: dict[str, RewindPoint] = {}
        self._next = 1
        self._saved: set[int] = set()

    def keep(self, entity: str, time: int, fields: Floats, rich: Floats) -> None:
        """Keep the state of an entity. It replaces an earlier point of the entity; beyond `MOST` points the oldest is dropped."""
        self.of.pop(entity, None)
        self.of[entity] = RewindPoint(self._next, time, fields.copy(), rich.copy())
        self._next += 1
        if len(self.of) > MOST:
            del self.of[next(iter(self.of))]

    def save(self, writes: dict[str, bytes], deletes: list[str]) -> None:
        """Add the changes since the last save to the saved state."""
        current = {point.number: (entity, point) for entity, point in self.of.items()}
        for number in sorted(current.keys() - self._saved):
            entity, point = current[number]
            meta = {"entity": entity, "time": point.time}
            arrays = {"fields": point.fields, "rich": point.rich}
            writes[f"{self.prefix}q{number}"] = pack(self.kind, self.version, meta, arrays)
        deletes += [f"{self.prefix}q{number}" for number in sorted(self._saved - current.keys())]
        self._saved = set(current)

    def restore(self, saved: dict[int, bytes]) -> None:
        """Read the saved points, by number."""
        for number, state in sorted(saved.items()):
            meta, arrays = unpack(state, self.kind, self.version)
            self.of[meta["entity"]] = RewindPoint(number, meta["time"], arrays["fields"], arrays["rich"])
            self._next = number + 1
        self._saved = set(saved)

    def canonical(self) -> bytes:
        """All points, in the order in which they were kept."""
        meta = {"points": [[entity, point.time] for entity, point in self.of.items()]}
        numbers = [array.ravel() for point in self.of.values() for array in (point.fields, point.rich)]
        return pack("points", self.version, meta, {"numbers": np.concatenate([np.empty(0), *numbers])})
