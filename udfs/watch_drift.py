"""Whether the data of a trained model have moved for good; incidents hit few entities, or pass, and are no reason to retrain."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.drift import Reference, counted, kolmogorov_smirnov, population_stability
from streamgauge.udfs.cloud_event import cloud_event, rfc3339
from streamgauge.udfs.settings import DriftSettings

BUCKETS = 512  # that entities fall into, when those that moved are counted
GROWN = 1.5  # times as many values as expected make a bin one that values have moved to
MOST_WATCHED = 64  # fields of a model


class DriftWatch:
    """The drift of one model's fields in one log.

    Spans of `every` events are compared with the training data, field by field. When a field's population stability index is at or beyond
    `index`, the next span also tells how many entities have at least half of their values in the bins that have grown. When that goes on
    for `spans` spans, and so many entities are with it, a request to retrain is made; it says what speaks for it.

    Parameters
    ----------
    settings : DriftSettings
    model, topic, job : str
    log : int
    """

    def __init__(self, settings: DriftSettings, model: str, topic: str, job: str, log: int) -> None:
        self.settings, self.model = settings, model
        self.topic, self.job, self.log = topic, job, log
        self.version = 0
        self._anew(0, 0)

    def _anew(self, version: int, fields: int) -> None:
        self.version = version
        self._counts = np.zeros((fields, 0))
        self._events = self._drifted = self._rest = 0
        self._began: tuple[int, int] | None = None  # offset and time, where the spans that have drifted begin
        self._span: tuple[int, int] | None = None
        self._suspect, self._grown = -1, np.zeros(0, np.bool_)
        self._seen, self._moved = np.zeros((2, 0), np.int64)

    def watch(
        self,
        version: int,
        reference: Reference,
        names: list[str],
        X: Floats,
        entities: list[str],
        offsets: Ints,
        times: Ints,
    ) -> list[tuple[str, bytes]]:
        """Look at events in order; returns requests to retrain, key and JSON.

        Parameters
        ----------
        version : int
            Of the model at work; another one begins anew.
        reference : Reference
            Of its training data.
        names : list of str
            Its fields.
        X : float64[n, d]
            In the order of its fields; NaN is missing.
        entities : list of str
        offsets, times : int64[n]
        """
        if version != self.version:
            self._anew(version, len(names))
        bins = reference.bins(X)[:, :MOST_WATCHED]
        requests, begin = [], 0
        while begin < len(bins):
            if self._span is None:
                self._span = (int(offsets[begin]), int(times[begin]))
            end = min(len(bins), begin + self.settings.every - self._events)
            part = slice(begin, end)
            counts = counted(bins[part], reference.shares.shape[1])
            self._counts = self._counts + counts if self._counts.size else counts
            if self._suspect >= 0:
                self._count_moved(bins[part, self._suspect], entities[part])
            self._events += end - begin
            if self._events == self.settings.every:
                request = self._end(reference, names, int(offsets[end - 1]), int(times[end - 1]))
                requests += [] if request is None else [request]
            begin = end
        return requests

    def _count_moved(self, bins: Ints, entities: list[str]) -> None:
        there = bins >= 0
        buckets = np.array([zlib.crc32(entity.encode()) % BUCKETS for entity in entities], dtype=np.int64)[there]
        self._seen += np.bincount(buckets, minlength=BUCKETS)
        self._moved += np.bincount(buckets[self._grown[bins[there]]], minlength=BUCKETS)

    def _end(self, reference: Reference, names: list[str], offset: int, time: int) -> tuple[str, bytes] | None:
        """A span is over."""
        expected = reference.shares[:MOST_WATCHED]
        index, distance = population_stability(expected, self._counts), kolmogorov_smirnov(expected, self._counts)
        some = self._seen > 0
        share = float((2 * self._moved[some] >= self._seen[some]).mean()) if some.any() else 0.0
        worst = int(index.argmax())
        drifted = index[worst] >= self.settings.index
        self._drifted = self._drifted + 1 if drifted else 0
        self._rest = max(self._rest - 1, 0)
        if not drifted:
            self._began = None
        elif self._began is None:
            self._began = self._span
        request = None
        if self._drifted >= self.settings.spans and share >= self.settings.entities and not self._rest:
            self._rest = self.settings.rest
            assert self._began is not None
            request = self._request(names, index, distance, share, offset, time, self._began)
        self._suspect = worst if drifted else -1
        if drifted:
            n = max(self._counts[worst].sum(), 1.0)
            self._grown = self._counts[worst] / n > GROWN * expected[worst]
        self._seen, self._moved = np.zeros((2, BUCKETS if drifted else 0), np.int64)
        self._counts, self._events, self._span = np.zeros((len(names), 0)), 0, None
        return request

    def _request(
        self,
        names: list[str],
        index: Floats,
        distance: Floats,
        share: float,
        offset: int,
        time: int,
        began: tuple[int, int],
    ) -> tuple[str, bytes]:
        order = [f for f in np.argsort(-index, kind="stable").tolist() if index[f] >= self.settings.index][:10]
        identity = f"{self.model}/{self.version}/{self.log}/{offset}"
        data = {
            "request": identity, "model": self.model, "version": self.version, "reason": "drift",
            "evidence": {
                "fields": {names[f]: {"population_stability_index": round(float(index[f]), 4),
                                      "kolmogorov_smirnov": round(float(distance[f]), 4)} for f in order},
                "entities_moved": round(share, 4), "spans": self._drifted, "events": self._drifted * self.settings.every,
            },
            "since": rfc3339(began[1]), "topic": self.topic, "offsets": {str(self.log): [began[0], offset + 1]},
        }  # fmt: skip
        return self.model, cloud_event(
            identity, "retrain.requested", self.model, time, data, job=self.job, topic=self.topic
        )

    def to_state(self) -> list[Any]:
        """All that was learned."""
        return [
            self.version, self._counts.astype(np.int64).tolist(), self._events, self._drifted, self._rest, self._began, self._span,
            self._suspect, self._grown.tolist(), self._seen.tolist(), self._moved.tolist(),
        ]  # fmt: skip

    def restore(self, state: list[Any]) -> None:
        """Become what `to_state` told."""
        self.version, counts, self._events, self._drifted, self._rest, began, span, self._suspect, grown, *moved = state
        self._counts = np.array(counts, dtype=np.float64).reshape(len(counts), -1)
        self._began, self._span = (None if place is None else (place[0], place[1]) for place in (began, span))
        self._grown = np.array(grown, dtype=np.bool_)
        self._seen, self._moved = (np.array(numbers, dtype=np.int64) for numbers in moved)
