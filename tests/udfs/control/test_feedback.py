"""Feedback on alerts suppresses events and changes weights, within bounds."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.jobs.kafka.feedback import about
from streamgauge.models.errors import SettingsError
from streamgauge.udfs.control.feedback import Feedback, FeedbackInForce, parse_feedback
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import START, Run, batch

TEN = math.log(10)
EVERY = 900_000  # milliseconds between events: an entity is judged with less care after some days
EVIDENCE_NEEDED = 4 * TEN
MESSAGE = '{"alert_id":"a","entity":"e","kind":"point","tail_probability":1,"by":"x","verdict":%s}'


def feedback(verdict="false", by="ann", alert="a1", entity="e", field="x", tail=1e-5, effect=5.0, **more):
    return Feedback(
        alert_id=alert,
        entity=entity,
        kind="point",
        field=field,
        verdict=verdict,
        by=by,
        tail_probability=tail,
        effect=effect,
        **more,
    )


def in_force(*messages):
    everything = FeedbackInForce()
    for message in messages:
        everything.take(message)
    return everything


def suppressed(*messages, times=0.0, time=0, effect=5.0, pattern=("e", "point", "x")):
    """Whether feedback suppresses an event that is `times` powers of ten rarer than the threshold of 1e-4."""
    evidence = EVIDENCE_NEEDED + (times + 0.01) * TEN
    return in_force(*messages).hides(pattern, time, evidence, EVIDENCE_NEEDED, effect)


def rarer(*messages):
    """The number of powers of ten rarer than the threshold from which on an event is not suppressed."""
    return next(n for n in range(100) if not suppressed(*messages, times=n))


def test_an_event_ten_times_rarer_than_one_called_false_is_not_suppressed():
    assert rarer() == 0
    assert rarer(feedback()) == 2
    assert rarer(feedback(), feedback(alert="a2", tail=1e-6)) == 3


def test_one_person_lowers_the_threshold_by_a_million_at_most_and_two_by_its_square():
    severe = [feedback(alert=f"a{k}", tail=1e-40) for k in range(1000)]
    assert rarer(*severe) == 6
    assert rarer(*severe, feedback(by="ben", tail=1e-40)) == 12


def test_a_contradiction_cancels_feedback_and_later_feedback_replaces_earlier_one():
    assert rarer(feedback(), feedback("true", by="ben")) == 0
    assert rarer(feedback(), feedback("true")) == 0
    assert rarer(feedback("true"), feedback()) == 2


def test_feedback_concerns_the_same_entity_kind_and_field_only():
    others = (("f", "point", "x"), ("e", "drift", "x"), ("e", "point", "y"))
    assert not any(suppressed(feedback(), pattern=other) for other in others)


def test_feedback_on_an_alert_that_only_a_rule_raised_concerns_no_field():
    rules = {"decide": {"rules": [{"id": "hot", "when": "heat > 90"}]}}
    run = Run(PipelineSettings.model_validate(rules)).feed(batch([{"entity": "e", "flow": 1.0, "heat": 99.0}]))
    [alert] = [json.loads(text)["data"] for _, text in run.alerts]
    wrong = about([alert], "false", "ann")
    assert wrong.pattern == ("e", "conditional", None)
    assert not suppressed(wrong, pattern=("e", "conditional", "flow"))


def test_an_effect_more_than_twice_as_large_is_not_suppressed():
    assert [suppressed(feedback(effect=5.0), feedback(alert="a2", effect=8.0), effect=e) for e in (5, 15.9, 16.1)] == [
        True,
        True,
        False,
    ]
    assert suppressed(feedback(effect=None), effect=1e9)
    assert suppressed(feedback(), effect=math.nan)


def test_an_ignored_pattern_is_suppressed_until_its_time():
    message = feedback("ignore", until="2026-11-22T10:00:00Z")
    moment = int(message.until.timestamp() * 1000)
    assert suppressed(message, time=moment - 1, times=99, effect=1e9)
    assert not suppressed(message, time=moment)


def test_members_that_were_right_get_more_weight_but_never_more_than_twice():
    right = [feedback("true", alert=f"t{k}", agreed=("loda",), disagreed=("grubbs",)) for k in range(5)]
    factors = in_force(*right).factors()
    assert factors["loda"] == pytest.approx(1 / factors["grubbs"])
    assert 1.2 < factors["loda"] < 1.3
    many = [feedback(alert=f"f{k}", by=f"p{k % 40}", agreed=("loda",)) for k in range(2000)]
    assert in_force(*many).factors() == {"loda": pytest.approx(0.5)}
    one = [feedback(alert=f"f{k}", agreed=("loda",)) for k in range(2000)]
    assert in_force(*one).factors()["loda"] == pytest.approx(math.exp(-0.5))


@given(st.lists(st.tuples(st.sampled_from(["true", "false"]), st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_only_the_newest_feedback_of_each_person_on_each_alert_counts(messages):
    messages = [feedback(verdict, by=f"p{p}", alert=f"a{a}") for verdict, p, a in messages]
    newest = {message.key: message for message in messages}
    assert rarer(*messages) == rarer(*newest.values())
    assert in_force(*messages).factors() == in_force(*newest.values()).factors()
    assert len(in_force(*messages)) == len(newest)
    assert not any(in_force(*messages).take(message) for message in newest.values())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"alert_id": "a"}', "feedback: entity: Field required"),
        (MESSAGE % '"maybe"', "verdict: Input should be 'true', 'false', 'ignore' or 'undo'"),
        (MESSAGE % '"ignore"', "a time goes with the verdict ignore"),
        (MESSAGE % '"ignore","until":"2026-01-01T00:00:00"', "it needs a zone"),
        ("nonsense", "feedback: message: Invalid JSON"),
    ],
)
def test_an_error_in_a_message_is_named(text, error):
    with pytest.raises(SettingsError, match=error):
        parse_feedback(text)


def stream(values):
    events = [{"entity": "pump", "x": float(v)} for v in values]
    return batch(events, stamps=START + EVERY * np.arange(len(events)))


def pump(n=1500, far=(700, 900, 1100)):
    """One entity with some extreme values."""
    x = np.random.default_rng(0).normal(100, 1, n)
    for k, place in enumerate(far):
        x[place] = (115.0, 85.0, 1e9)[k]
    return stream(x)


def settings():
    raw = PipelineSettings().model_dump()
    raw["decide"] |= {"warmup": 500, "quiet_events": 5, "threshold": 1e-3}
    return PipelineSettings.model_validate(raw)


def opened(run):
    data = [json.loads(text)["data"] for _, text in run.alerts]
    return {d["source"]["offset"]: d for d in data if d["state"] == "opened"}


def test_a_pattern_called_false_is_suppressed_unless_it_is_rarer_also_after_a_restart():
    raw = pump()
    plain = opened(Run(settings()).feed(raw))
    assert {700, 900, 1100} <= plain.keys()
    first = Run(settings()).feed(raw.take(np.arange(800)))
    messages = [
        feedback(alert="a1", by=f"p{k}", entity="pump", tail=plain[700]["tail_probability"], effect=15.0)
        for k in range(2)
    ]
    for k, message in enumerate(messages):
        first.shard.hear(message, k)
    rest = raw.take(np.arange(800, 1500))
    first.feed(rest)
    found = opened(first)
    assert 900 not in found
    assert 1100 in found
    assert first.counts["muted.feedback"] > 0
    again = Run(settings())
    for k, message in enumerate(messages):
        again.shard.hear(message, k)
    again.shard.restore(first.saved.items())
    assert again.shard.canonical() == first.shard.canonical()


def test_feedback_false_ends_the_quarantine_of_the_entity_once():
    noise = 100 + 30 * np.random.default_rng(1).normal(size=400)
    values = np.concatenate((np.random.default_rng(0).normal(100, 1, 600), noise))
    raw = stream(values)
    run = Run(settings()).feed(raw.take(np.arange(640)))
    assert run.counts["held_back"] > 5
    run.shard.hear(feedback(entity="pump"), 4)
    before = run.counts["held_back"]
    run.feed(raw.take(np.arange(640, 700)))
    assert run.counts["held_back"] == before
    assert run.shard.partitions[0].stages.judged == 4


def test_weights_follow_feedback():
    run = Run(settings()).feed(pump(100, ()))
    run.shard.hear(feedback("true", agreed=("loda",), disagreed=("histogram_density",)), 0)
    calibrators = run.shard.partitions[0].stages.scorer.calibrators
    weights = dict(zip(calibrators.of.names, calibrators.target.tolist(), strict=True))
    assert weights["loda"] == pytest.approx(math.exp(0.05))
    assert weights["histogram_density"] == pytest.approx(2 * math.exp(-0.05))
