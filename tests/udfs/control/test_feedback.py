"""What people say of alerts changes what is told, within bounds."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.models.errors import SettingsError
from streamgauge.udfs.control.feedback import Feedback, FeedbackInForce, parse_feedback
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import Run, batch

TEN = math.log(10)


LIMIT = 4 * TEN
WORD = '{"alert_id":"a","entity":"e","kind":"point","tail_probability":1,"by":"x","verdict":%s}'


def said(verdict="false", by="ann", alert="a1", entity="e", field="x", tail=1e-5, effect=5.0, **more):
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


def heard(*messages):
    all_of_it = FeedbackInForce()
    for message in messages:
        all_of_it.take(message)
    return all_of_it


def hidden(*messages, times=0.0, time=0, effect=5.0, pattern=("e", "point", "x")):
    """Whether an event so many times (powers of ten) rarer than the threshold of 1e-4 is."""
    return heard(*messages).hides(pattern, time, LIMIT + (times + 0.01) * TEN, LIMIT, effect)


def rarer(*messages):
    """Up to how many powers of ten rarer than the threshold an event is hidden."""
    return next(n for n in range(100) if not hidden(*messages, times=n))


def test_what_is_ten_times_rarer_than_what_was_found_false_is_told_again():
    assert rarer() == 0
    assert rarer(said()) == 2
    assert rarer(said(), said(alert="a2", tail=1e-6)) == 3


def test_one_person_hides_a_millionfold_whatever_he_labels_and_two_the_square():
    severe = [said(alert=f"a{k}", tail=1e-40) for k in range(1000)]
    assert rarer(*severe) == 6
    assert rarer(*severe, said(by="ben", tail=1e-40)) == 12


def test_who_contradicts_takes_it_back_and_a_later_word_replaces_an_earlier_one():
    assert rarer(said(), said("true", by="ben")) == 0
    assert rarer(said(), said("true")) == 0
    assert rarer(said("true"), said()) == 2


def test_it_is_said_of_the_same_entity_kind_and_field_only():
    others = (("f", "point", "x"), ("e", "drift", "x"), ("e", "point", "y"))
    assert not any(hidden(said(), pattern=other) for other in others)


def test_what_is_more_than_twice_as_far_off_is_something_else():
    assert [hidden(said(effect=5.0), said(alert="a2", effect=8.0), effect=e) for e in (5, 15.9, 16.1)] == [
        True,
        True,
        False,
    ]
    assert hidden(said(effect=None), effect=1e9)
    assert hidden(said(), effect=math.nan)


def test_ignored_it_is_silent_until_its_time():
    message = said("ignore", until="2026-11-22T10:00:00Z")
    moment = int(message.until.timestamp() * 1000)
    assert hidden(message, time=moment - 1, times=99, effect=1e9)
    assert not hidden(message, time=moment)


def test_members_that_were_right_weigh_more_but_never_more_than_twice():
    right = [said("true", alert=f"t{k}", agreed=("loda",), disagreed=("grubbs",)) for k in range(5)]
    factors = heard(*right).factors()
    assert factors["loda"] == pytest.approx(1 / factors["grubbs"])
    assert 1.2 < factors["loda"] < 1.3
    many = [said(alert=f"f{k}", by=f"p{k % 40}", agreed=("loda",)) for k in range(2000)]
    assert heard(*many).factors() == {"loda": pytest.approx(0.5)}
    one = [said(alert=f"f{k}", agreed=("loda",)) for k in range(2000)]
    assert heard(*one).factors()["loda"] == pytest.approx(math.exp(-0.5))


@given(st.lists(st.tuples(st.sampled_from(["true", "false"]), st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_only_the_newest_word_of_each_person_on_each_alert_counts(words):
    messages = [said(verdict, by=f"p{p}", alert=f"a{a}") for verdict, p, a in words]
    newest = {message.key: message for message in messages}
    assert rarer(*messages) == rarer(*newest.values())
    assert heard(*messages).factors() == heard(*newest.values()).factors()
    assert len(heard(*messages)) == len(newest)
    assert not any(heard(*messages).take(message) for message in newest.values())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"alert_id": "a"}', "feedback: entity: Field required"),
        (WORD % '"maybe"', "verdict: Input should be 'true', 'false' or 'ignore'"),
        (WORD % '"ignore"', "a time goes with the verdict ignore"),
        (WORD % '"ignore","until":"2026-01-01T00:00:00"', "it needs a zone"),
        ("nonsense", "feedback: message: Invalid JSON"),
    ],
)
def test_what_is_wrong_is_named(text, told):
    with pytest.raises(SettingsError, match=told):
        parse_feedback(text)


def pump(n=1500, far=(700, 900, 1100)):
    """One entity; some values are far off."""
    x = np.random.default_rng(0).normal(100, 1, n)
    for k, place in enumerate(far):
        x[place] = (104.5, 94.5, 1e9)[k]
    return batch([{"entity": "pump", "x": float(v)} for v in x])


def settings():
    raw = PipelineSettings().model_dump()
    raw["decide"] |= {"warmup": 500, "quiet_events": 5}
    return PipelineSettings.model_validate(raw)


def opened(run):
    data = [json.loads(text)["data"] for _, text in run.alerts]
    return {d["source"]["offset"]: d for d in data if d["state"] == "opened"}


def test_a_pattern_found_false_is_told_no_more_unless_it_is_rarer_and_a_restart_keeps_that():
    raw = pump()
    plain = opened(Run(settings()).feed(raw))
    assert {700, 900, 1100} <= plain.keys()
    first = Run(settings()).feed(raw.take(np.arange(800)))
    words = [
        said(alert="a1", by=f"p{k}", entity="pump", tail=plain[700]["tail_probability"], effect=4.5) for k in range(2)
    ]
    for k, word in enumerate(words):
        first.pipeline.hear(word, k)
    rest = raw.take(np.arange(800, 1500))
    first.feed(rest)
    told = opened(first)
    assert 900 not in told
    assert 1100 in told
    assert first.counts["muted.feedback"] > 0
    again = Run(settings())
    for k, word in enumerate(words):
        again.pipeline.hear(word, k)
    again.pipeline.restore(first.saved.items())
    assert again.pipeline.canonical() == first.pipeline.canonical()


def test_a_false_alert_lets_its_entity_be_learned_from_again_once():
    noise = 100 + 30 * np.random.default_rng(1).normal(size=400)
    values = np.concatenate((np.random.default_rng(0).normal(100, 1, 600), noise))
    raw = batch([{"entity": "pump", "x": float(v)} for v in values])
    run = Run(settings()).feed(raw.take(np.arange(640)))
    assert run.counts["held_back"] > 5
    run.pipeline.hear(said(entity="pump"), 4)
    before = run.counts["held_back"]
    run.feed(raw.take(np.arange(640, 700)))
    assert run.counts["held_back"] == before
    assert run.pipeline.partitions[0].stages.judged == 4


def test_weights_follow_feedback_and_the_control_topic():
    run = Run(settings()).feed(pump(100, ()))
    run.pipeline.hear(said("true", agreed=("loda",), disagreed=("histogram_density",)), 0)
    calibrators = run.pipeline.partitions[0].stages.scorer.calibrators
    weights = dict(zip(calibrators.of.names, calibrators.target.tolist(), strict=True))
    assert weights["loda"] == pytest.approx(math.exp(0.05))
    assert weights["histogram_density"] == pytest.approx(2 * math.exp(-0.05))
