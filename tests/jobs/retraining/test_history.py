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
from streamgauge.models.persistence.unfinished import Unfinished

REQUEST = {"request": "m/1/inputs/0/5", "topic": "events", "offsets": {"0": (5, 90)}, "since": "2026-11-22T10:00:00Z"}


class Kept:
    """In memory, what is kept of the choice of events, and what is told of it."""

    def __init__(self):
        self.content, self.said = None, []
        self.unfinished = Unfinished(lambda: self.content, self.save, self.said.append)

    def save(self, content):
        self.content = content


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
        past_since_drift(Settings(), REQUEST, threading.Event(), Kept().unfinished)


class Filled(Emptied):
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

    def ask(kept=None, **request):
        consumer, ranges, alerts = Filled(), [], []
        module = "streamgauge.jobs.retraining.history"
        monkeypatch.setattr(clients, "consumer", lambda *_, **__: contextlib.nullcontext(consumer))
        monkeypatch.setattr(f"{module}.not_learned", lambda _, since: alerts.append(since))
        monkeypatch.setattr(f"{module}.confirmed", lambda *_: [])
        monkeypatch.setattr(f"{module}.past_of_topic", lambda _, topic, read, **__: ranges.append((topic, read)))
        settings = Settings()
        gates = settings.retrain.model_copy(update={"wait": 0})
        place = (kept or Kept()).unfinished
        past_since_drift(settings.model_copy(update={"retrain": gates}), REQUEST | request, threading.Event(), place)
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


def test_after_an_interruption_the_same_events_are_read_for_the_same_request(asked, monkeypatch):
    kept = Kept()
    first, _, _ = asked(kept)
    monkeypatch.setattr(Filled, "end_offsets", lambda _, places: dict.fromkeys(places, 150))
    again, alerts, _ = asked(kept)
    assert again == first == [("events", {0: (5, 100)})]
    assert alerts == [1_005]
    other, _, _ = asked(kept, request="m/1/inputs/0/7")
    assert other == [("events", {0: (5, 150)})]
    assert kept.said == []


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"request": "m/1/inputs/0/5", "ranges": {"x": [1, 2]}}'])
def test_a_damaged_choice_of_events_is_made_anew(content, asked):
    kept = Kept()
    kept.content = content
    assert asked(kept)[0] == [("events", {0: (5, 100)})]
    assert kept.said[0].startswith("begins anew: its saved state is damaged")
    assert asked(kept)[0] == [("events", {0: (5, 100)})]
    assert len(kept.said) == 1


def test_a_stop_ends_the_waiting_for_events(monkeypatch):
    monkeypatch.setattr(clients, "consumer", lambda *_, **__: contextlib.nullcontext(Filled()))
    stop = threading.Event()
    stop.set()
    with pytest.raises(SystemExit):  # it ends the thread of the training
        past_since_drift(Settings(), REQUEST, stop, Kept().unfinished)
