"""Whatever is on the trainer's topics and in the registry, the trainer goes on, and answers the next request."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamgauge.jobs.retraining.notices import step_of
from streamgauge.jobs.studies.train import train

from tests.jobs.retraining.in_memory import InMemory, compared, past, requested

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


def test_a_registry_that_is_away_is_reported_and_the_next_request_is_answered(trainer, monkeypatch):
    def away(*_):
        raise OSError("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(trainer.registry.files, "read", away)
        patch.setattr(trainer.registry.files, "listed", away)
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
