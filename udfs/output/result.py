"""All that comes out of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from streamgauge.models.contract import Floats, Ints


@dataclass(slots=True)
class BatchResult:
    """All that comes out of a batch.

    Attributes
    ----------
    alerts, late, scores, dead_letters : list of (key, JSON)
    notices : list of (key, JSON)
        Changes of the schema, answers, comparisons of models.
    requests : list of (key, JSON)
        To retrain a model.
    rows, surprise, members, evidence, flagged
        For each scored event: row of the raw batch, surprise of it alone, each member's surprise, what speaks for an incident, and
        whether that is at or beyond the threshold.
    writes, deletes
        Changes of the saved state, by key.
    counts : dict of str to int
        What happened, for metrics.
    seconds, model_seconds : dict of str to float
        Time of each step, and of each trained model.
    """

    alerts: list[tuple[str, bytes]] = field(default_factory=list)
    dead_letters: list[tuple[str, bytes]] = field(default_factory=list)
    late: list[tuple[str, bytes]] = field(default_factory=list)
    scores: list[tuple[str, bytes]] = field(default_factory=list)
    rows: list[Ints] = field(default_factory=list)
    surprise: list[Floats] = field(default_factory=list)
    members: list[Floats] = field(default_factory=list)
    evidence: list[Floats] = field(default_factory=list)
    flagged: list[Any] = field(default_factory=list)
    writes: dict[str, bytes] = field(default_factory=dict)
    deletes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    model_seconds: dict[str, float] = field(default_factory=dict)
    notices: list[tuple[str, bytes]] = field(default_factory=list)
    requests: list[tuple[str, bytes]] = field(default_factory=list)

    def count(self, what: str, n: int = 1) -> None:
        """Add to a counter."""
        if n:
            self.counts[what] = self.counts.get(what, 0) + n
