"""Reports, every so many events, how good the detection of a partition is: calibration, alerts, recall of probes, feedback, coverage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from streamgauge.udfs.entities.columns import STATUS
from streamgauge.udfs.incidents.kinds import KINDS, OPENED, kind_of
from streamgauge.udfs.incidents.lifecycle import Decisions
from streamgauge.udfs.monitoring.probe import Probe
from streamgauge.udfs.output.cloud_event import Origin
from streamgauge.udfs.scoring.opinions import Verdicts

POWERS = (1, 2, 3, 4)  # events with a tail probability of at most 10 to the minus each of these are counted
LIMITS = np.array(POWERS) * math.log(10.0)  # the same as evidence
TRACKED = "io.streamgauge.tracked"  # type of the notice


@dataclass(frozen=True, slots=True)
class Facts:
    """What a report says of the state of a partition.

    Attributes
    ----------
    events : int
        Number of events so far.
    stream : str
        Kind of stream.
    threshold : float
        Tail probability in force.
    promise : dict
        See `Promise.report`.
    entities : dict of str to int
        See `coverage`.
    verdicts : sequence of str
        Verdict of each feedback: ``true``, ``false`` or ``ignore``.
    models : dict of str to str
        Version of each trained model.
    """

    events: int
    stream: str
    threshold: float
    promise: dict[str, Any]
    entities: dict[str, int]
    verdicts: Sequence[str]
    models: dict[str, str]


class QualityTracker:
    """Counts one partition's events between two reports.

    Parameters
    ----------
    every : int
        Events from one report to the next.

    Attributes
    ----------
    warm : int
        Number of entities that were past their warm-up at the last report.
    """

    def __init__(self, every: int) -> None:
        self.every, self.warm = every, 0
        self._begin()

    def _begin(self) -> None:
        """Set all counters to zero."""
        self._rarer = [0] * len(POWERS)
        self._anomalous = self._quarantined = self._unjudged = 0
        self._opened: dict[str, int] = {}

    def count(self, verdicts: Verdicts, decisions: Decisions, quarantined: int) -> None:
        """Count some events.

        Parameters
        ----------
        verdicts : Verdicts
            Of these events.
        decisions : Decisions
        quarantined : int
            Number of events that were quarantined.
        """
        unjudged = np.isnan(verdicts.joined)
        evidence = np.sort(verdicts.evidence[~unjudged])
        below_limit = np.searchsorted(evidence, LIMITS).tolist()
        self._rarer = [n + len(evidence) - below for n, below in zip(self._rarer, below_limit, strict=True)]
        self._unjudged += int(unjudged.sum())
        self._anomalous += int(np.count_nonzero(decisions.anomalous))
        self._quarantined += quarantined
        if not len(decisions.place):
            return
        for status in decisions.incident[decisions.change == OPENED, STATUS].tolist():
            kind = KINDS[kind_of(status)]
            self._opened[kind] = self._opened.get(kind, 0) + 1

    def report(
        self, facts: Facts, probe: Probe | None, origin: Origin, time: int
    ) -> tuple[tuple[str, bytes], dict[str, int]]:
        """Report what was counted, and start counting from the beginning.

        Parameters
        ----------
        facts : Facts
        probe : Probe or None
            Result of a probe that was scored after the last event.
        origin : Origin
        time : int
            Event time of the last event, milliseconds.

        Returns
        -------
        notice : (str, bytes)
            Key and JSON.
        counts : dict of str to int
            For metrics.
        """
        self.warm = facts.entities["warm"]
        data: dict[str, Any] = {
            "partition": origin.partition,
            **origin.further,
            "events": facts.events,
            "of": self.every,
            "unjudged": self._unjudged,
            "stream": facts.stream,
            "threshold": facts.threshold,
            "promise": facts.promise,
            "flagged": self._anomalous,
            "opened": dict(sorted(self._opened.items())),  # as it is saved, so that a restart changes nothing
            "held_back": self._quarantined,
            "rarer": {f"1e-{p}": n for p, n in zip(POWERS, self._rarer, strict=True)},
            "probe": None if probe is None else asdict(probe),
            "entities": facts.entities,
            "feedback": {verdict: facts.verdicts.count(verdict) for verdict in ("true", "false", "ignore")},
            "models": facts.models,
        }
        key = str(origin.key)
        identity = f"tracked-{origin.key}-{facts.events}"
        text = origin.event(identity, TRACKED.removeprefix("io.streamgauge."), key, time, data)
        counts = {f"rarer.{10**p}": n for p, n in zip(POWERS, self._rarer, strict=True)}
        self._begin()
        return (key, text), counts | _probe_counts(probe)

    def to_state(self) -> list[Any]:
        """All that was counted."""
        return [self._rarer, self._anomalous, self._quarantined, dict(sorted(self._opened.items())), self._unjudged]

    def restore(self, state: list[Any]) -> None:
        """Restore what `to_state` gave, or what it gave in 0.1.0, which did not count unjudged events."""
        self._rarer, self._anomalous, self._quarantined, self._opened = state[:4]
        self._unjudged = state[4] if len(state) > 4 else 0


def coverage(seen: Any, slots: Any, warmup: int) -> dict[str, int]:
    """How many entities are known, how many are past their warm-up, and how many are in the rich tier.

    Parameters
    ----------
    seen : int64[n]
        Events of each entity so far.
    slots : int64[n]
        Slot of each entity in the rich tier; 0 is none.
    warmup : int
        Events of a cold start.
    """
    return {"known": len(seen), "warm": int((seen > warmup).sum()), "rich": int(np.count_nonzero(slots))}


def _probe_counts(probe: Probe | None) -> dict[str, int]:
    """Counters for metrics: probes made and found, by kind, by tier and by member."""
    counts: dict[str, int] = {}
    if probe is not None:
        for of, found in ((probe.kind, probe.found), (probe.tier, probe.found), *probe.members.items()):
            counts[f"probes.planted_{of}"] = 1
            counts[f"probes.found_{of}"] = int(found)
    return counts
