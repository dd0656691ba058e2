"""Whatever is on the trainer's topics and in the registry, the trainer goes on, and answers the next request."""

from __future__ import annotations

import contextlib
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamgauge.jobs.retraining.backoff import FIRST_WAIT
from streamgauge.jobs.retraining.notices import step_of
from streamgauge.jobs.studies.train import train

from tests.jobs.retraining.in_memory import START, InMemory, compared, past, requested

GARBAGE = [None, b"", b"\xff", b"5", b"[]", b"{", b"[" * 100_000, b'{"type": 1, "data": {"model": "m"}}']
GARBAGE += [b'{"type": "io.streamgauge.retrain.requested"}', b'{"type": "x", "data": {"model": 5}}']


@pytest.mark.parametrize("value", GARBAGE, ids=range(len(GARBAGE)))
def test_a_record_that_is_no_message_is_none(value):
    assert step_of(value) is None


WRONG = [None, 5, -1, 1e308, "", "x", [], [1], {}, {"0": 1}, {"0": [1, 2], "1": [1, 2]}, "../m", "2026-13-40"]
KEYS = sorted({*requested()["data"], *compared(1, 2)["data"]})


@settings(max_examples=60, deadline=None)
@given(changes=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(WRONG), min_size=1), ask=st.booleans())
def test_a_message_with_any_values_never_ends_the_trainer(tmp_path_factory, changes, ask):
    event = requested() if ask else compared(1, 2)
    changed = step_of(json.dumps(event | {"data": event["data"] | changes}).encode())
    trainer = InMemory(tmp_path_factory.mktemp("registry"))  # it has no version at all
    if changed:
        trainer.handle(changed)


@pytest.mark.parametrize(
    "change", [{"offsets": None}, {"version": "x"}, {"since": 5}, {"request": "x"}, {"request": 5}]
)
def test_a_request_that_is_garbage_is_reported_and_the_next_one_is_answered(trainer, change):
    event = requested()
    trainer.handle(event | {"data": event["data"] | change})
    trainer.now += 86_400
    trainer.handle(requested(partition=1))
    assert "shadowed" in [step for step, _ in trainer.steps]


def test_a_request_for_a_model_that_the_job_does_not_use_leaves_no_trace(trainer):
    for name in ("../m", "other", "x" * 10_000):
        trainer.handle({"type": "io.streamgauge.retrain.requested", "data": requested()["data"] | {"model": name}})
    assert trainer.steps == []
    assert trainer.registry.names() == ["m"]


class AwayError(Exception):
    """What the client of a store raises; those of S3, for example, are no OSError."""


@pytest.fixture
def away(trainer, monkeypatch):
    """A context in which the registry is away."""

    def fail(*_):
        raise AwayError("the store is away")

    @contextlib.contextmanager
    def context():
        with monkeypatch.context() as patch:
            patch.setattr(trainer.registry.files, "read", fail)
            patch.setattr(trainer.registry.files, "listed", fail)
            yield

    return context


def test_a_registry_that_is_away_is_reported_and_the_next_request_is_answered(trainer, away):
    with away():
        trainer.handle(requested())
    [(step, data)] = trainer.steps
    assert (step, "the store is away" in data["why"]) == ("failed", True)
    trainer.now += 120
    trainer.answer_due()
    trainer.handle(requested(partition=1))
    assert "shadowed" in [step for step, _ in trainer.steps]


def test_a_report_with_a_missing_number_counts_nothing(trainer):
    trainer.handle(requested())
    report = compared(1, 2)
    del report["data"]["shadow_right"]
    before = dict(trainer.shadows.counts)
    trainer.handle(report)
    assert [counts["events"] for counts in trainer.shadows.counts.values()] in ([], [0])
    assert before == {}


@pytest.mark.parametrize("change", [{"events": math.nan}, {"probes": -1}, {"threshold": math.inf}])
def test_a_report_with_a_number_that_counts_nothing_does_not_keep_the_comparison_from_its_end(trainer, change):
    trainer.handle(requested())
    report = compared(1, 2)
    trainer.handle(report | {"data": report["data"] | change})
    assert trainer.steps[-1][0] == "failed"
    trainer.handle(report)
    assert trainer.steps[-1][0] == "promoted"


def test_notices_that_are_garbage_are_ignored_at_the_start(trainer):
    trainer.notices += [
        {"type": "io.streamgauge.model.deferred", "time": "2025-10-09T08:53:20.000Z", "data": {"model": "m"}},
        {
            "type": "io.streamgauge.model.rejected",
            "time": "2025-10-09T08:53:20.000Z",
            "data": {"model": "m", "version": "x"},
        },
        {"type": "io.streamgauge.model.settled", "time": "2025-10-09T08:53:20.000Z", "data": {"model": "other"}},
    ]
    trainer.recall()
    trainer.handle(requested())
    assert "shadowed" in [step for step, _ in trainer.steps]


BAD_STEPS = [
    ("deferred", {"asked": "x"}),
    ("deferred", {"asked": {}}),
    ("deferred", {"asked": {"model": "m", "request": 5}}),
    ("deferred", {"asked": requested()["data"] | {"model": "other"}}),
    ("deferred", {"asked": requested(began=7)["data"] | {"version": "x"}}),
    ("shadowed", {"version": math.inf}),
    ("failed", {"request": "r", "rejections": "x"}),
    ("failed", {"request": "r", "rejections": -5}),
    ("failed", {"request": "r", "rejections": math.inf}),
]


@pytest.mark.parametrize(("step", "data"), BAD_STEPS)
def test_a_notice_with_wrong_values_does_not_end_the_trainer_when_the_next_step_comes(trainer, step, data):
    trainer.publish(step, "m", {}, START)
    trainer.notices[-1]["data"] |= data
    trainer.recall()
    trainer.answer_due()
    trainer.now += 86_400
    trainer.handle(requested())
    assert "shadowed" in [step for step, _ in trainer.steps]
    assert trainer.metrics.text()


def test_a_notice_of_a_clock_that_was_ahead_makes_no_model_wait_for_years(trainer):
    trainer.publish("failed", "m", {"request": "r"}, START + 10**11)
    trainer.recall()
    assert trainer.backoff.seconds_left("m") == FIRST_WAIT / 1000


@pytest.mark.parametrize("text", ["{}", '{"model": "other", "request": "r"}', '{"model": "m", "request": null}'])
def test_a_waiting_request_in_the_registry_that_is_garbage_does_not_end_the_trainer(trainer, tmp_path, text):
    (tmp_path / "m" / "waiting.json").write_text(text)
    trainer.recall()
    trainer.answer_due()
    trainer.handle(requested())
    assert "shadowed" in [step for step, _ in trainer.steps]


def test_a_registry_that_is_away_when_the_trainer_starts_is_reported_and_requests_are_answered_later(trainer, away):
    with away():
        trainer.recall()
    assert any("m: its roles cannot be told" in line for line in trainer.said)
    trainer.handle(requested())
    assert "shadowed" in [step for step, _ in trainer.steps]


def test_a_model_that_is_damaged_in_the_registry_does_not_keep_the_trainer_from_starting(tmp_path):
    trainer = InMemory(tmp_path, models={"a": {}, "m": {}})
    for name in ("a", "m"):
        trainer.registry.point(name, "live", train(trainer.registry, name, "isolation_forest", past()).version)
    for below in ("waiting.json", "aliases/live.json"):
        (tmp_path / "a" / below).write_text("{")
    trainer.handle(requested())
    trainer.sent.clear()
    trainer.recall()
    assert trainer.sent == [("live", 1), ("shadow", 2)]
    assert any("a: its roles cannot be told" in line for line in trainer.said)
    assert any("delete a/waiting.json" in line for line in trainer.said)
