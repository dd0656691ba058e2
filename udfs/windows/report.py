"""What was reported of one window, so that late events can amend it."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamgauge.models.persistence.codec import pack, unpack


@dataclass(slots=True)
class WindowReport:
    """What was reported of one window.

    Attributes
    ----------
    values : dict of str to dict
        Aggregates by entity.
    scores : dict of str to float
        By entity.
    incident : dict of str to (int, int)
        Of the entities that stood at or beyond the threshold: begin of the window that opened the incident, and its status.
    """

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    incident: dict[str, tuple[int, int]] = field(default_factory=dict)

    kind = "window told"
    version = 1

    def to_state(self) -> bytes:
        """All of it, versioned."""
        meta = {"values": self.values, "scores": self.scores, "incident": self.incident}
        return pack(self.kind, self.version, meta, {})

    @classmethod
    def from_state(cls, state: bytes) -> WindowReport:
        """What `to_state` saved."""
        meta, _ = unpack(state, cls.kind, cls.version)
        return cls(meta["values"], meta["scores"], {name: (a, b) for name, (a, b) in meta["incident"].items()})
