"""What was reported about one window. It is kept so that late events can amend it."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamgauge.models.persistence.codec import pack, unpack


@dataclass(slots=True)
class WindowReport:
    """The report of one window.

    Attributes
    ----------
    values : dict of str to dict
        By entity: value of each aggregate, by name.
    scores : dict of str to float
        By entity: score, 0 to 1.
    incident : dict of str to (int, int)
        By entity, if its window was anomalous: begin of the window that opened the incident, in milliseconds since 1970, and the
        status of the incident.
    """

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    incident: dict[str, tuple[int, int]] = field(default_factory=dict)

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
        return cls(meta["values"], meta["scores"], {name: (a, b) for name, (a, b) in meta["incident"].items()})
