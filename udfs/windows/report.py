"""What was reported about one window. It is kept so that late events can amend it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from streamgauge.models.persistence.codec import pack, unpack


class Reported(NamedTuple):
    """The incident that an anomalous window belongs to, as it was after the window.

    Attributes
    ----------
    begin : int
        Begin of the window that opened the incident, in milliseconds since 1970.
    status : int
        Its kind, and the kinds that were reported.
    config : int
        Mark of the configuration in its id; 0 in older states, which do not name it.
    severity, channel : int
        Its severity, and the member that opened it, as in `udfs.entities.columns`.
    peak : float
        Largest evidence.
    """

    begin: int
    status: int
    config: int = 0
    severity: int = 0
    channel: int = 0
    peak: float = 0.0


@dataclass(slots=True)
class WindowReport:
    """The report of one window.

    Attributes
    ----------
    values : dict of str to dict
        By entity: value of each aggregate, by name.
    scores : dict of str to float
        By entity: score, 0 to 1.
    incident : dict of str to Reported
        By entity, if its window was anomalous.
    """

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    incident: dict[str, Reported] = field(default_factory=dict)

    kind = "window told"
    version = 1

    def to_state(self) -> bytes:
        """The whole report as bytes, with a version."""
        meta = {"values": self.values, "scores": self.scores, "incident": self.incident}
        return pack(self.kind, self.version, meta, {})

    @classmethod
    def from_state(cls, state: bytes) -> WindowReport:
        """Read a report that `to_state` saved."""
        meta, _ = unpack(state, cls.kind, cls.version)
        return cls(meta["values"], meta["scores"], {name: Reported(*one) for name, one in meta["incident"].items()})
