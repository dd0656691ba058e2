"""Whether the data of a trained model have changed for good. Incidents concern few entities, or pass, and are no reason to retrain."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from streamgauge.models.calibration.thresholds import compare_thresholds
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.evaluation.drift import Reference, population_stability
from streamgauge.models.persistence.registry import SCORE
from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.output.cloud_event import Origin
from streamgauge.udfs.settings.pipeline import DriftSettings

BUCKETS = 512  # entities are hashed into so many buckets, and the buckets are counted: this bounds the memory
# An index times the number of its values, which chance reaches once in a thousand times: chi-squared with one degree less than bins.
CHANCE = 27.9
GROWN = 1.5  # a bin has grown if it holds at least this many times the expected values
MOST_WATCHED = 64  # columns that are watched: the model's score, then its fields
# A model raises too many alerts if there are `FLOOD` times as many as the threshold promises, and at least `FEW`.
FLOOD, FEW = 5.0, 10
SURE = 0.999  # confidence at which the recall of probes counts as fallen
NONE, ALERTS = -1, -2  # what is suspected, other than a column: nothing, or the number of alerts
REASONS = ("inputs", "scores", "alerts")


class ModelEvents(NamedTuple):
    """Events, as one model saw them.

    Attributes
    ----------
    X : float64[n, d]
        The columns of the model's `Reference`; NaN is missing.
    alerts : bool[n]
        Whether the model alone would have raised an alert.
    probed : (int64[m], bool[m])
        Places of the events that were probed, and whether the model found the probe stranger than its event.
    threshold : float
        Tail probability: the share of alerts that the model promises on usual data.
    entities : list of str
    offsets, times : int64[n]
        Offset and event time (milliseconds) of each event.
    """

    X: Floats
    alerts: Flags
    probed: tuple[Ints, Flags]
    threshold: float
    entities: list[str]
    offsets: Ints
    times: Ints


class DriftWatch:
    """Watches the inputs and the scores of one model in one partition, and requests a retraining if they have changed for good.

    Events are counted in spans of `every` events. At the end of a span:

    - Each field is compared with the training data, and the score with the model's scores of validation data. The score also changes if
      only the relation between fields has changed. A column has drifted if its population stability index is at least `index`, and more
      than chance gives where few events have a value.
    - The alerts are compared with the number that the threshold promises. Five times as many are drift, too.
    - After a span with drift, the next span also counts the share of the entities that the drift concerns: those with at least half of
      their values in the bins that have grown, or with an alert. It does so for the column with the most drift, and if the drift lasts,
      for the others in turn. If drift lasts for `spans` spans, and concerns at least the share `entities`, a request to retrain is
      written.
    - If the model finds fewer probes than it did in its first spans, a request is written at once: whatever the cause, the
      model has become worse.

    After a request, there is no other one for `rest` spans.

    Parameters
    ----------
    settings : DriftSettings
    model : str
        Name of the model.
    origin : Origin

    Attributes
    ----------
    version : int
        Version of the model that is watched; 0 before the first event.
    """

    def __init__(self, settings: DriftSettings, model: str, origin: Origin) -> None:
        self.settings, self.model, self.origin = settings, model, origin
        self.version = 0
        self._reset(0, 0)

    def _reset(self, version: int, fields: int) -> None:
        """Start from the beginning, for a version of the model with a number of fields."""
        self.version = version
        self._counts = np.zeros((fields, 0))
        self._events = self._drifted = self._rest = (
            0  # events of this span, spans with drift in a row, spans until the next request
        )
        self._began: tuple[int, int] | None = None  # offset and time at which the drift began
        self._span: tuple[int, int] | None = None  # offset and time at which this span began
        self._suspect, self._grown = (
            NONE,
            np.zeros(0, np.bool_),
        )  # the column with the most drift, and which of its bins have grown
        self._alerts = 0  # of this span
        self._probes = (0, 0)  # probes of this span that were found, and all of them
        self._probes_by_span: list[
            tuple[int, int]
        ] = []  # the same for the first spans of the version, then for the newest ones
        self._seen, self._moved = np.zeros(
            (2, 0), np.int64
        )  # by bucket of entities: all values, and those in bins that have grown

    def watch(
        self, version: int, reference: Reference, names: Sequence[str], seen: ModelEvents
    ) -> list[tuple[str, bytes]]:
        """Count events in order.

        Parameters
        ----------
        version : int
            Version of the model. If it is another than before, everything starts from the beginning.
        reference : Reference
            The distributions of the model's raw scores and of its training data.
        names : sequence of str
            Name of each row of the reference: a field, or the score.
        seen : ModelEvents

        Returns
        -------
        list of (str, bytes)
            Requests to retrain, key and JSON.
        """
        X, alerts, probed = seen.X, seen.alerts, seen.probed
        if version != self.version:
            self._reset(version, len(names))
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
                right = probed[1][(probed[0] >= begin) & (probed[0] < end)]
                self._probes = (self._probes[0] + int(right.sum()), self._probes[1] + len(right))
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

    def _count_moved(self, present: Flags, moved: Flags, entities: list[str]) -> None:
        """Count, by bucket of entities, the values that are present, and those of them that have moved to bins that have grown."""
        buckets = np.array([zlib.crc32(entity.encode()) % BUCKETS for entity in entities], dtype=np.int64)
        self._seen += np.bincount(buckets[present], minlength=BUCKETS)
        self._moved += np.bincount(buckets[present & moved], minlength=BUCKETS)

    def _end(
        self, expected: Floats, names: Sequence[str], threshold: float, offset: int, time: int
    ) -> tuple[str, bytes] | None:
        """End a span, and write a request to retrain if there is a reason; see the class.

        Parameters
        ----------
        expected : float64[columns, bins]
            Share of each bin in the training data.
        names : sequence of str
        threshold : float
        offset, time : int
            Of the last event of the span.
        """
        index = population_stability(expected, self._counts)
        occupied = self._seen > 0
        least = 1 if self._suspect == ALERTS else self._seen[occupied] / 2
        share = float((self._moved[occupied] >= least).mean()) if occupied.any() else 0.0
        # an index that so few values reach by chance is none
        needed = np.maximum(self.settings.index, CHANCE / np.maximum(self._counts.sum(axis=1), 1.0))
        columns = [f for f in np.argsort(-index / needed, kind="stable").tolist() if index[f] >= needed[f]]
        flood = self._alerts >= max(FLOOD * threshold * self.settings.every, FEW)
        drifted = bool(columns) or flood
        self._drifted = self._drifted + 1 if drifted else 0
        self._rest = max(self._rest - 1, 0)
        if not drifted:
            self._began = None
        elif self._began is None:
            self._began = self._span
        fallen = self._fallen_recall()
        request = None
        if self._drifted >= self.settings.spans and share >= self.settings.entities and not self._rest:
            self._rest = self.settings.rest
            assert self._began is not None
            drifted_columns = {
                names[f]: {"population_stability_index": round(float(index[f]), 4)} for f in columns[:11]
            }
            score = drifted_columns.pop(SCORE, None)
            evidence = {
                "fields": drifted_columns,
                "score": score,
                "alerts": self._alerts,
                "promised": round(threshold * self.settings.every, 4),
                "entities_moved": round(share, 4),
                "spans": self._drifted,
                "events": self._drifted * self.settings.every,
            }
            reason = REASONS[0 if drifted_columns else 1 if score else 2]
            where = {str(self.origin.partition): [self._began[0], offset + 1]}
            request = self.ask(reason, evidence, self._began[1], where, offset, time)
        elif fallen is not None and not self._rest:
            self._rest = self.settings.rest
            assert self._span is not None
            where = {str(self.origin.partition): [self._span[0], offset + 1]}
            request = self.ask("recall", fallen, self._span[1], where, offset, time)
        suspects = columns + [ALERTS] * flood
        # the one with the most drift first, then each in turn: one that concerns few entities must not hide the others
        self._suspect = suspects[(self._drifted + 1 - self.settings.spans) % len(suspects)] if suspects else NONE
        if self._suspect >= 0:
            n = max(self._counts[self._suspect].sum(), 1.0)
            self._grown = self._counts[self._suspect] / n > GROWN * expected[self._suspect]
        self._begin_span(len(names), BUCKETS if drifted else 0)
        return request

    def _begin_span(self, fields: int, buckets: int) -> None:
        """Begin to count a span: no event of it has come. Without buckets, entities are not counted."""
        self._seen, self._moved = np.zeros((2, buckets), np.int64)
        self._counts, self._events, self._span = np.zeros((fields, 0)), 0, None
        self._alerts = 0

    def _fallen_recall(self) -> dict[str, Any] | None:
        """The evidence that the model finds fewer probes in the newest spans than in its first ones; None if there is none."""
        spans = self.settings.spans
        self._probes_by_span.append(self._probes)
        self._probes = (0, 0)
        if len(self._probes_by_span) < 2 * spans:  # too few spans to compare
            return None
        first, now = _sum(self._probes_by_span[:spans]), _sum(self._probes_by_span[spans:])
        del self._probes_by_span[spans]
        if compare_thresholds(first, now, SURE).better != "a":
            return None
        return {
            "of": "recall of probes",
            "before": round(first[0] / first[1], 4),
            "after": round(now[0] / now[1], 4),
            "probes": now[1],
        }

    def ask(
        self,
        reason: str,
        evidence: dict[str, Any],
        since: int,
        offsets: dict[str, list[int]],
        offset: int,
        time: int,
        topic: str | None = None,
    ) -> tuple[str, bytes]:
        """Write a request to retrain the version that is watched.

        Parameters
        ----------
        reason : str
            One word, such as one of `REASONS`.
        evidence : dict
            The figures that are the reason.
        since : int
            Event time at which the change began, milliseconds: the model is to be trained on the data since then.
        offsets : dict of str to [int, int]
            By partition: the first offset of these data, and the offset after the last one.
        offset, time : int
            Offset and time of the last event, or of the newest feedback.
        topic : str, optional
            Topic of these data; that of the watched events by default.

        Returns
        -------
        (str, bytes)
            Key and JSON.
        """
        identity = f"{self.model}/{self.version}/{reason}/{self.origin.key}/{offset}"
        data = {
            "request": identity,
            "model": self.model,
            "version": self.version,
            "reason": reason,
            "evidence": evidence,
            "since": rfc3339(since),
            "topic": topic or self.origin.topic,
            "offsets": offsets,
        }
        return self.model, self.origin.event(identity, "retrain.requested", self.model, time, data)

    def to_state(self) -> list[Any]:
        """All that was learned."""
        return [
            self.version,
            self._counts.astype(np.int64).tolist(),
            self._events,
            self._drifted,
            self._rest,
            self._began,
            self._span,
            self._suspect,
            self._grown.tolist(),
            self._seen.tolist(),
            self._moved.tolist(),
            self._alerts,
            self._probes,
            self._probes_by_span,
        ]

    def restore(self, state: list[Any]) -> None:
        """Restore what `to_state` gave, in this release or an earlier one."""
        self.version, counts, self._events, self._drifted, self._rest, began, span, self._suspect, grown, *moved = (
            state[:11]
        )
        # Earlier releases did not save the last three.
        self._alerts, probes, by_span = state[11:] if len(state) > 11 else (0, (0, 0), [])
        self._probes, self._probes_by_span = (probes[0], probes[1]), [(right, n) for right, n in by_span]
        # Before the first event there are no columns.
        self._counts = np.array(counts, dtype=np.float64) if counts else np.zeros((0, 0))
        self._began, self._span = (None if place is None else (place[0], place[1]) for place in (began, span))
        self._grown = np.array(grown, dtype=np.bool_)
        self._seen, self._moved = (np.array(numbers, dtype=np.int64) for numbers in moved)
        if self._events >= self.settings.every:  # it was saved with longer spans
            self._begin_span(len(self._counts), len(self._seen))


def _sum(pairs: list[tuple[int, int]]) -> tuple[int, int]:
    """The sums of the first and of the second numbers."""
    return sum(a for a, _ in pairs), sum(b for _, b in pairs)
