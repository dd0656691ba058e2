"""Which events of the topic a candidate is trained on. The topic is in memory here."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
from kafka import TopicPartition
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.retraining.history import past_since_drift
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import InputError

REQUEST = {"topic": "events", "offsets": {"0": (5, 90)}, "since": "2026-11-22T10:00:00Z"}


class Emptied:
    """A consumer of a partition whose records retention has removed."""

    polls = 0
    assign = seek = lambda *_: None

    def partitions_for_topic(self, _):
        return {0}

    def beginning_offsets(self, places):
        return dict.fromkeys(places, 100)

    end_offsets = beginning_offsets

    def offsets_for_times(self, places):
        return dict.fromkeys(places)

    def position(self, _):
        return 100

    def poll(self, *_, **__):
        self.polls += 1
        assert self.polls < 1_000, "it is waited for a record for ever"
        return {}


def test_a_request_whose_events_are_gone_is_refused_and_not_waited_for(monkeypatch):
    monkeypatch.setattr(clients, "consumer", lambda *_, **__: contextlib.nullcontext(Emptied()))
    with pytest.raises(InputError, match="partition 0 of 'events' has no record since the drift began at offset 5"):
        past_since_drift(Settings(), REQUEST)


def test_the_range_begins_with_the_drift(monkeypatch):
    class Kept(Emptied):
        def beginning_offsets(self, places):
            return dict.fromkeys(places, 2)

        def position(self, _):
            return 100 if self.polls else 5

        def poll(self, *_, **__):
            self.polls += 1
            place = TopicPartition("events", 0)
            return {place: [SimpleNamespace(offset=offset, timestamp=1_000 + offset) for offset in (5, 6)]}

        def offsets_for_times(self, places):
            assert set(places.values()) == {1_005}
            return {place: SimpleNamespace(offset=5) for place in places}

    asked = []
    module = "streamgauge.jobs.retraining.history"
    monkeypatch.setattr(clients, "consumer", lambda *_, **__: contextlib.nullcontext(Kept()))
    monkeypatch.setattr(f"{module}.not_learned", lambda *_: [])
    monkeypatch.setattr(f"{module}.confirmed", lambda *_: [])
    monkeypatch.setattr(f"{module}.past_of_topic", lambda _, topic, ranges, **__: asked.append((topic, ranges)))
    settings = Settings()
    gates = settings.retrain.model_copy(update={"wait": 0})
    past_since_drift(settings.model_copy(update={"retrain": gates}), REQUEST)
    assert asked == [("events", {0: (5, 100)})]
