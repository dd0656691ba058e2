"""Whether the data of a trained model have moved for good; incidents hit few entities, or pass, and are no reason to retrain."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from streamgauge.models.calibration.thresholds import compare_thresholds
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.evaluation.drift import Reference, kolmogorov_smirnov, population_stability
from streamgauge.models.persistence.registry import SCORE
from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.output.cloud_event import Origin
from streamgauge.udfs.settings.pipeline import DriftSettings

BUCKETS = 512  # that entities fall into, when those that moved are counted
GROWN = 1.5  # times as many values as expected make a bin one that values have moved to
MOST_WATCHED = 64  # columns: a model's score, then its fields
# More alerts than a model promised, when there are so many times as many, and so many at least.
FLOOD, FEW = 5.0, 10
SURE = 0.999  # that probes are told less
NONE, ALERTS = -1, -2  # in the place of a column that is suspected
REASONS = ("inputs", "scores", "alerts")


class ModelEvents(NamedTuple):
    """What there is to see of some events of one model.

    Attributes
    ----------
    X : float64[n, d]
        The columns of the model's `Reference`; NaN is missing.
    alerts : bool[n]
        Whether the model by itself would have raised an alert.
    probed : (int64[m], bool[m])
        Places of events that were probed, and whether the model found the probe stranger than its event.
    threshold : float
        Tail probability: what the model promises.
    entities : list of str
    offsets, times : int64[n]
    """

    X: Floats
    alerts: Flags
    probed: tuple[Ints, Flags]
    threshold: float
    entities: list[str]
    offsets: Ints
    times: Ints


class DriftWatch:
    """The drift of what one model is given, and of what it says, in one log.

    Spans of `every` events are compared with the training data, field by field, and with the scores that the model gave to held-back
    data: these move, too, when it is the relation between fields that has changed. When a population stability index is at or beyond
    `index`, or the model raises five times the alerts that it promised, the next span also tells how many entities have at least half of
    their values in the bins that have grown, or an alert. When that goes on for `spans` spans, and so many entities are with it, a request
    to retrain is made; it says what speaks for it. So it is when the model tells fewer probes than it did when it was new: such a change is
    the model's, whoever brought it about.

    Parameters
    ----------
    settings : DriftSettings
    model : str
    origin : Origin
    """

    def __init__(self, settings: DriftSettings, model: str, origin: Origin) -> None:
        self.settings, self.model, self.origin = settings, model, origin
        self.version = 0
        self._anew(0, 0)

    def _anew(self, version: int, fields: int) -> None:
        self.version = version
        self._counts = np.zeros((fields, 0))
        self._events = self._drifted = self._rest = 0
        self._began: tuple[int, int] | None = None  # offset and time, where the spans that have drifted begin
        self._span: tuple[int, int] | None = None
        self._suspect, self._grown = NONE, np.zeros(0, np.bool_)
        self._alerts = 0
        self._told = (0, 0)  # probes that were told, and all, in this span
        self._tellings: list[tuple[int, int]] = []  # the same of the version's first spans, then of the last ones
        self._seen, self._moved = np.zeros((2, 0), np.int64)

    def watch(
        self, version: int, reference: Reference, names: Sequence[str], seen: ModelEvents
    ) -> list[tuple[str, bytes]]:
        """Look at events in order; returns requests to retrain, key and JSON.

        Parameters
        ----------
        version : int
            Of the model at work; another one begins anew.
        reference : Reference
            Of its raw scores and its training data.
        names : sequence of str
            What each row of the reference is of.
        seen : ModelEvents
        """
        X, alerts, probed = seen.X, seen.alerts, seen.probed
        if version != self.version:
            self._anew(version, len(names))
        most = min(len(names), MOST_WATCHED)
        requests, begin = [], 0
        while begin < len(X):
            if self._span is None:
                self._span = (int(seen.offsets[begin]), int(seen.times[begin]))
            end = min(len(X), begin + self.settings.every - self._events)
            part = slice(begin, end)
            if not self._counts.size:
                self._counts = np.zeros((most, reference.shares.shape[1]))
            reference.count(X[part], self._counts)
            self._alerts += int(np.count_nonzero(alerts[part]))
            if len(probed[0]):
                told = probed[1][(probed[0] >= begin) & (probed[0] < end)]
                self._told = (self._told[0] + int(told.sum()), self._told[1] + len(told))
            if self._suspect == ALERTS:
                self._count_moved(np.ones(end - begin, np.bool_), alerts[part], seen.entities[part])
            elif self._suspect != NONE:
                one = Reference(reference.edges[[self._suspect]], reference.shares[[self._suspect]])
                column = one.bins(X[part, [self._suspect]])[:, 0]
                self._count_moved(column >= 0, self._grown[column], seen.entities[part])
            self._events += end - begin
            if self._events == self.settings.every:
                last = int(seen.offsets[end - 1]), int(seen.times[end - 1])
                request = self._end(reference.shares[:most], names, seen.threshold, *last)
                requests += [] if request is None else [request]
            begin = end
        return requests

    def _count_moved(self, there: Flags, moved: Flags, entities: list[str]) -> None:
        buckets = np.array([zlib.crc32(entity.encode()) % BUCKETS for entity in entities], dtype=np.int64)
        self._seen += np.bincount(buckets[there], minlength=BUCKETS)
        self._moved += np.bincount(buckets[there & moved], minlength=BUCKETS)

    def _end(
        self, expected: Floats, names: Sequence[str], threshold: float, offset: int, time: int
    ) -> tuple[str, bytes] | None:
        """A span is over."""
        index, distance = population_stability(expected, self._counts), kolmogorov_smirnov(expected, self._counts)
        some = self._seen > 0
        least = 1 if self._suspect == ALERTS else self._seen[some] / 2
        share = float((self._moved[some] >= least).mean()) if some.any() else 0.0
        worst = int(index.argmax())
        moved = index[worst] >= self.settings.index
        flood = self._alerts >= max(FLOOD * threshold * self.settings.every, FEW)
        drifted = moved or flood
        self._drifted = self._drifted + 1 if drifted else 0
        self._rest = max(self._rest - 1, 0)
        if not drifted:
            self._began = None
        elif self._began is None:
            self._began = self._span
        blind = self._blind()
        request = None
        if self._drifted >= self.settings.spans and share >= self.settings.entities and not self._rest:
            self._rest = self.settings.rest
            assert self._began is not None
            rows = [f for f in np.argsort(-index, kind="stable").tolist() if index[f] >= self.settings.index]
            told = {names[f]: {"population_stability_index": round(float(index[f]), 4),
                               "kolmogorov_smirnov": round(float(distance[f]), 4)} for f in rows[:11]}  # fmt: skip
            score = told.pop(SCORE, None)
            evidence = {"fields": told, "score": score, "alerts": self._alerts,
                        "promised": round(threshold * self.settings.every, 4), "entities_moved": round(share, 4),
                        "spans": self._drifted, "events": self._drifted * self.settings.every}  # fmt: skip
            reason = REASONS[0 if told else 1 if score else 2]
            where = {str(self.origin.partition): [self._began[0], offset + 1]}
            request = self.ask(reason, evidence, self._began[1], where, offset, time)
        elif blind is not None and not self._rest:
            self._rest = self.settings.rest
            assert self._span is not None
            where = {str(self.origin.partition): [self._span[0], offset + 1]}
            request = self.ask("recall", blind, self._span[1], where, offset, time)
        self._suspect = worst if moved else ALERTS if flood else NONE
        if moved:
            n = max(self._counts[worst].sum(), 1.0)
            self._grown = self._counts[worst] / n > GROWN * expected[worst]
        self._seen, self._moved = np.zeros((2, BUCKETS if drifted else 0), np.int64)
        self._counts, self._events, self._span = np.zeros((len(names), 0)), 0, None
        self._alerts = 0
        return request

    def _blind(self) -> dict[str, Any] | None:
        """What speaks for it that the model tells fewer probes in the last spans than in its first ones."""
        spans = self.settings.spans
        self._tellings.append(self._told)
        self._told = (0, 0)
        if len(self._tellings) < 2 * spans:  # it is new
            return None
        first, now = _sum(self._tellings[:spans]), _sum(self._tellings[spans:])
        del self._tellings[spans]
        if compare_thresholds(first, now, SURE).better != "a":
            return None
        return {
            "of": "recall of probes",
            "before": round(first[0] / first[1], 4),
            "after": round(now[0] / now[1], 4),
            "probes": now[1],
        }

    def ask(
        self, reason: str, evidence: dict[str, Any], since: int, offsets: dict[str, list[int]], offset: int, time: int
    ) -> tuple[str, bytes]:
        """A request to retrain the version at work: its key, and JSON.

        Parameters
        ----------
        reason : str
            In a word.
        evidence : dict
            What speaks for it.
        since : int
            Event time since which the data are what the model is to be trained on, milliseconds.
        offsets : dict
            By partition: those data, from, and before.
        offset, time : int
            Of the last event, or of what was said of one.
        """
        identity = f"{self.model}/{self.version}/{reason}/{self.origin.partition}/{offset}"
        data = {
            "request": identity, "model": self.model, "version": self.version, "reason": reason, "evidence": evidence,
            "since": rfc3339(since), "topic": self.origin.topic, "offsets": offsets,
        }  # fmt: skip
        return self.model, self.origin.event(identity, "retrain.requested", self.model, time, data)

    def to_state(self) -> list[Any]:
        """All that was learned."""
        return [
            self.version, self._counts.astype(np.int64).tolist(), self._events, self._drifted, self._rest, self._began, self._span,
            self._suspect, self._grown.tolist(), self._seen.tolist(), self._moved.tolist(), self._alerts,
            self._told, self._tellings,
        ]  # fmt: skip

    def restore(self, state: list[Any]) -> None:
        """Become what `to_state` told."""
        self.version, counts, self._events, self._drifted, self._rest, began, span, self._suspect, grown, *moved = (
            state[:11]
        )
        self._alerts, told, tellings = (
            state[11:] if len(state) > 11 else (0, (0, 0), [])
        )  # earlier builds did not count these
        self._told, self._tellings = (told[0], told[1]), [(right, n) for right, n in tellings]
        self._counts = np.array(counts, dtype=np.float64).reshape(len(counts), -1)
        self._began, self._span = (None if place is None else (place[0], place[1]) for place in (began, span))
        self._grown = np.array(grown, dtype=np.bool_)
        self._seen, self._moved = (np.array(numbers, dtype=np.int64) for numbers in moved)


def _sum(pairs: list[tuple[int, int]]) -> tuple[int, int]:
    return sum(a for a, _ in pairs), sum(b for _, b in pairs)
