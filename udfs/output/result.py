"""All that comes out of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamgauge.models.contract import Floats, Ints


@dataclass(slots=True)
class BatchResult:
    """All that comes out of a batch.

    Attributes
    ----------
    alerts, late, scores, dead_letters : list of (str, bytes)
        Key and JSON of each record.
    notices : list of (str, bytes)
        Key and JSON: changes of the schema, answers to requests, comparisons of models.
    requests : list of (str, bytes)
        Key and JSON: requests to retrain a model.
    rows : list of int64[n]
        Of the scored events, part by part: row in the raw batch.
    evidence : list of float64[n]
        Of the scored events: evidence of the event by itself, whatever incident it belongs to.
    members : list of float64[n, members]
        Of the scored events: evidence of each member.
    alert_evidence : list of float64[n]
        Of the scored events: the evidence that an alert may rest on.
    judged : list of bool[n]
        Of the scored events: whether enough was known to judge the event.
    anomalous : list of bool[n]
        Of the scored events: whether the alert evidence is at or beyond the threshold, and no rule suppresses the event.
    writes : dict of str to bytes
        Saved state to write, by key.
    deletes : list of str
        Keys of saved state to delete.
    counts : dict of str to int
        What happened, for metrics. Each record counts in ``events``, and in exactly one of ``scored`` (its evidence was found),
        ``unjudged`` (an event of which too little is known to judge it), ``unread`` (an event without a field that is looked at), ``late``,
        ``dead_letters.REASON`` and ``skipped`` (a record that holds no event). These add up to ``events``. A record with several events
        counts as many times.
    seconds, model_seconds : dict of str to float
        Time that each step took, and each trained model.
    """

    alerts: list[tuple[str, bytes]] = field(default_factory=list)
    dead_letters: list[tuple[str, bytes]] = field(default_factory=list)
    late: list[tuple[str, bytes]] = field(default_factory=list)
    scores: list[tuple[str, bytes]] = field(default_factory=list)
    rows: list[Ints] = field(default_factory=list)
    evidence: list[Floats] = field(default_factory=list)
    members: list[Floats] = field(default_factory=list)
    alert_evidence: list[Floats] = field(default_factory=list)
    judged: list[Any] = field(default_factory=list)
    anomalous: list[Any] = field(default_factory=list)
    writes: dict[str, bytes] = field(default_factory=dict)
    deletes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    model_seconds: dict[str, float] = field(default_factory=dict)
    notices: list[tuple[str, bytes]] = field(default_factory=list)
    requests: list[tuple[str, bytes]] = field(default_factory=list)

    def count(self, what: str, n: int = 1) -> None:
        """Add `n` to a counter. A counter that was never added to is not in `counts`."""
        if n:
            self.counts[what] = self.counts.get(what, 0) + n

    def add_counts(self, counts: Mapping[str, int]) -> None:
        """Add to several counters, by name."""
        for what, n in counts.items():
            self.count(what, n)
