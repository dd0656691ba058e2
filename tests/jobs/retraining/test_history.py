"""Which events of the topic a candidate is trained on. The topic is in memory here."""

from __future__ import annotations

import contextlib
import threading
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
        past_since_drift(Settings(), REQUEST, threading.Event())


class Kept(Emptied):
    """A consumer of a partition with records; `looked_up` are the times for which offsets were looked up."""

    def __init__(self):
        self.looked_up = []

    def beginning_offsets(self, places):
        return dict.fromkeys(places, 2)

    def position(self, _):
        return 100 if self.polls else 5

    def poll(self, *_, **__):
        self.polls += 1
        place = TopicPartition("events", 0)
        return {place: [SimpleNamespace(offset=offset, timestamp=1_000 + offset) for offset in (5, 6)]}

    def offsets_for_times(self, places):
        self.looked_up += places.values()
        return {place: SimpleNamespace(offset=5) for place in places}


@pytest.fixture
def asked(monkeypatch):
    """What is read for a request: ranges of the topic, the time from which alerts are read, and times that were looked up."""

    def ask(**request):
        consumer, ranges, alerts = Kept(), [], []
        module = "streamgauge.jobs.retraining.history"
        monkeypatch.setattr(clients, "consumer", lambda *_, **__: contextlib.nullcontext(consumer))
        monkeypatch.setattr(f"{module}.not_learned", lambda _, since: alerts.append(since))
        monkeypatch.setattr(f"{module}.confirmed", lambda *_: [])
        monkeypatch.setattr(f"{module}.past_of_topic", lambda _, topic, read, **__: ranges.append((topic, read)))
        settings = Settings()
        gates = settings.retrain.model_copy(update={"wait": 0})
        past_since_drift(settings.model_copy(update={"retrain": gates}), REQUEST | request, threading.Event())
        return ranges, alerts, consumer.looked_up

    return ask


@pytest.mark.parametrize(("since", "read_since"), [(REQUEST["since"], 1_005), ("1970-01-01T00:00:00.500Z", 500)])
def test_the_range_begins_with_the_drift_and_so_do_the_alerts_whose_events_are_left_out(since, read_since, asked):
    """The time of a request is that of the newest feedback where this was the reason, long after the first event."""
    assert asked(since=since) == ([("events", {0: (5, 100)})], [read_since], [1_005])


def test_the_range_of_a_shard_of_entities_begins_at_the_time_of_the_drift(asked):
    """Its offsets are of several partitions."""
    ranges, alerts, looked_up = asked(offsets={"-1": (90, 95)}, since="1970-01-01T00:00:01.005Z")
    assert (ranges, alerts, looked_up) == ([("events", {0: (5, 100)})], [1_005], [1_005])


def test_a_stop_ends_the_waiting_for_events(monkeypatch):
    monkeypatch.setattr(clients, "consumer", lambda *_, **__: contextlib.nullcontext(Kept()))
    stop = threading.Event()
    stop.set()
    with pytest.raises(SystemExit):  # it ends the thread of the training
        past_since_drift(Settings(), REQUEST, stop)
