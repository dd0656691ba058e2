"""How good one log's detection is, told again and again: calibration, alerts, recall of known anomalies, feedback, coverage."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.udfs.entities.entity_store import SEEN, SLOT, STATUS
from streamgauge.udfs.events.records import Events
from streamgauge.udfs.incidents.lifecycle import KINDS, OPENED, Decisions, kind_of
from streamgauge.udfs.monitoring.probe import Probe, probe
from streamgauge.udfs.output.cloud_event import cloud_event
from streamgauge.udfs.output.result import BatchResult

if TYPE_CHECKING:
    from streamgauge.udfs.pipeline.partition import LogPipeline

POWERS = (1, 2, 3, 4)  # events that were so many powers of ten rarer are counted
LIMITS = np.array(POWERS) * math.log(10.0)
TRACKED = "io.streamgauge.tracked"


class Tracking:
    """Counts one log's events between two tellings.

    Parameters
    ----------
    every : int
        Events.

    Attributes
    ----------
    warm : int
        Entities that were past their warm-up when it was told last.
    """

    def __init__(self, every: int) -> None:
        self.every, self.warm = every, 0
        self._anew()

    def _anew(self) -> None:
        self._rarer = [0] * len(POWERS)
        self._flagged = self._held = 0
        self._opened: dict[str, int] = {}

    def count(self, surprise: Floats, decisions: Decisions, held: int) -> None:
        """Count some events.

        Parameters
        ----------
        surprise : float64[n]
            Of the ensemble.
        decisions : Decisions
        held : int
            Events that were not learned.
        """
        rarer = np.searchsorted(np.sort(surprise), LIMITS)  # how many are not
        self._rarer = [n + len(surprise) - fewer for n, fewer in zip(self._rarer, rarer.tolist(), strict=True)]
        self._flagged += int(np.count_nonzero(decisions.flagged))
        self._held += held
        if not len(decisions.place):
            return
        for status in decisions.incident[decisions.change == OPENED, STATUS].tolist():
            kind = KINDS[kind_of(status)]
            self._opened[kind] = self._opened.get(kind, 0) + 1

    def tell(self, log: LogPipeline, events: Events, X: Floats, result: BatchResult) -> None:
        """Plant a known anomaly after the last of some events, and tell what was counted.

        Parameters
        ----------
        log : LogPipeline
            After these events.
        events : Events
        X : float64[n, d]
        result : BatchResult
            What is told is added to its notices, and counted.
        """
        turn = log.shape.events // self.every
        probed = probe(log, events, X, turn)
        if probed is not None:
            _count(probed, result)
        head = log.store.head[: len(log.store.names)]
        known = head[:, SEEN] > 0
        entities = coverage(head[known, SEEN], head[known, SLOT], log.settings.decide.warmup)
        self.warm = entities["warm"]
        verdicts = [message.verdict for message in log.control.heard.newest.values()]
        data: dict[str, Any] = {
            "partition": log.log, "events": log.shape.events, "of": self.every, "stream": log.shape.kind,
            "threshold": log.threshold, "flagged": self._flagged, "opened": self._opened, "held_back": self._held,
            "rarer": {f"1e-{p}": n for p, n in zip(POWERS, self._rarer, strict=True)},
            "probe": None if probed is None else asdict(probed),
            "entities": entities,
            "feedback": {verdict: verdicts.count(verdict) for verdict in ("true", "false", "ignore")},
            "models": dict(log.served),
        }  # fmt: skip
        time = int(events.times[-1])
        text = cloud_event(
            f"tracked-{log.log}-{log.shape.events}", TRACKED.removeprefix("io.streamgauge."), str(log.log), time, data,
            job=log.job, topic=log.topic,
        )  # fmt: skip
        result.notices.append((str(log.log), text))
        for p, n in zip(POWERS, self._rarer, strict=True):
            result.count(f"rarer.{10**p}", n)
        self._anew()

    def to_state(self) -> list[Any]:
        """All that was counted."""
        return [self._rarer, self._flagged, self._held, dict(sorted(self._opened.items()))]

    def restore(self, state: list[Any]) -> None:
        """Become what `to_state` told."""
        self._rarer, self._flagged, self._held, self._opened = state


def coverage(seen: Any, slots: Any, warmup: int) -> dict[str, int]:
    """How many entities are known, are past their warm-up, and have a place in the rich tier.

    Parameters
    ----------
    seen, slots : int64[n]
        Events of each, and its place; 0 is none.
    warmup : int
    """
    return {"known": len(seen), "warm": int((seen > warmup).sum()), "rich": int(np.count_nonzero(slots))}


def _count(probed: Probe, result: BatchResult) -> None:
    for of, found in ((probed.kind, probed.found), (probed.tier, probed.found), *probed.members.items()):
        result.count(f"probes.planted_{of}")
        result.count(f"probes.found_{of}", int(found))
