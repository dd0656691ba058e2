"""An event of which too little is known is learned and counted as unjudged. It has no score, which is not the same as the score 0."""

from __future__ import annotations

import json

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.jobs.settings.loading import validated
from streamgauge.udfs.monitoring.quality import TRACKED, QualityTracker

from tests.streams import Run, batch, stream

EVENTS = 600
cuts = st.lists(st.integers(1, EVENTS - 1), max_size=6)


def settings(**sections):
    return validated({"output": {"scores": "all"}} | sections, "the test").pipeline()


def series(n=EVENTS, entities=3, **more):
    """One field; the entities take turns."""
    values = np.random.default_rng(0).normal(50, 1, n).tolist()
    return batch([{"entity": f"e{i % entities}", "x": value} | more for i, value in enumerate(values)])


def records(run):
    """What is on the topic of scores, in the order of the offsets."""
    return sorted((json.loads(text) for _, text in run.scores), key=lambda record: record["offset"])


def is_unjudged(record):
    """Whether a record of the topic of scores has no score. It is either complete, or says that it has none."""
    missing = {name: record[name] is None for name in ("score", "tail_probability", "interval")}
    assert len(set(missing.values())) == 1
    assert record.get("unjudged", False) == missing["score"]
    return missing["score"]


def test_the_first_events_of_a_stream_are_unjudged_and_all_later_ones_are_scored():
    run = Run(settings()).feed(series(entities=1))
    unjudged = [is_unjudged(record) for record in records(run)]
    first = unjudged.index(False)
    assert 0 < first < 10
    assert not any(unjudged[first:])
    assert run.counts["unjudged"] == first
    assert run.counts["scored"] == EVENTS - first


def test_of_each_entity_the_first_events_are_unjudged():
    run = Run(settings()).feed(series())
    for entity in ("e0", "e1", "e2"):
        unjudged = [is_unjudged(record) for record in records(run) if record["entity"] == entity]
        assert unjudged == sorted(unjudged, reverse=True)
        assert 0 < sum(unjudged) < 10


def test_a_judged_event_may_be_usual_and_still_has_a_score():
    run = Run(settings()).feed(batch([{"entity": "a", "x": 1.0} for _ in range(100)]))
    last = records(run)[-1]
    assert not is_unjudged(last)
    assert (last["score"], last["tail_probability"]) == (0.0, 1.0)
    assert run.counts["unjudged"] < 10


@pytest.mark.parametrize("fields", [{}, {"x": None}, {"city": "Oslo"}])
def test_events_without_a_field_that_a_detector_looks_at_are_unread(fields):
    run = Run(settings()).feed(batch([{"entity": "a"} | fields for _ in range(200)]))
    assert all(map(is_unjudged, records(run)))
    assert run.counts["unread"] == run.counts["events"] == 200
    assert {"scored", "unjudged"}.isdisjoint(run.counts)
    assert run.alerts == []


@pytest.mark.parametrize("where", [[], [1], [2], [1, 2]])
def test_events_before_the_first_text_are_unread_whatever_the_batches(where):
    chosen = settings(detectors={"first_seen_category": {}})
    raw = batch([{"entity": "a"}, {"entity": "a"}, {"entity": "a", "city": "Oslo"}])
    run = Run(chosen).feed(raw, where)
    assert (run.counts["unread"], run.counts["unjudged"]) == (2, 1)
    assert run.shard.canonical() == Run(chosen).feed(raw, [1, 2]).shard.canonical()


def test_an_event_that_lacks_its_field_is_unjudged_among_others_that_are_scored():
    values = [{"entity": "a", "x": value} for value in np.random.default_rng(1).normal(size=300).tolist()]
    values[250] = {"entity": "a"}
    unjudged = [record["offset"] for record in records(Run(settings()).feed(batch(values))) if is_unjudged(record)]
    assert [offset for offset in unjudged if offset >= 10] == [250]


def test_a_rule_looks_at_an_unjudged_event_and_its_alert_says_that_nothing_else_did():
    rules = [{"id": "closed", "when": "closed == 1"}]
    events = [{"entity": "a"} for _ in range(30)]
    run = Run(settings(decide={"rules": rules})).feed(batch([{"entity": "b", "closed": 1}, *events]))
    [opened] = [data for _, text in run.alerts if (data := json.loads(text)["data"])["state"] == "opened"]
    assert (opened["rules"], opened["unjudged"]) == (["closed"], True)
    assert (opened["confidence"], opened["score"], opened["tail_probability"]) == (0.0, 0.0, 1.0)
    assert (run.counts["unjudged"], run.counts["unread"]) == (1, 30)


def test_an_alert_at_a_judged_event_does_not_say_unjudged_and_has_confidence():
    raw = series(entities=1)
    raw.payloads[500] = json.dumps({"entity": "e0", "x": 5000.0}).encode()
    run = Run(settings(decide={"threshold": 1e-3})).feed(raw)
    opened = [data for _, text in run.alerts if (data := json.loads(text)["data"])["source"]["offset"] == 500]
    assert opened
    assert all("unjudged" not in data and data["confidence"] > 0.5 for data in opened)


@hypothesis.settings(max_examples=15)
@given(cuts)
def test_another_cut_into_batches_gives_the_same_records_and_counts(where):
    whole, cut = Run(settings()).feed(series()), Run(settings()).feed(series(), where)
    assert sorted(cut.scores) == sorted(whole.scores)
    assert cut.counts == whole.counts


@hypothesis.settings(max_examples=15)
@given(st.integers(0, 20), cuts)
def test_all_counts_add_up_and_agree_with_the_records(seed, where):
    run = Run().feed(stream(seed=seed, partitions=3), where)
    unjudged = sum(map(is_unjudged, records(run)))
    assert run.counts["unjudged"] == unjudged
    assert run.counts["scored"] == len(run.scores) - unjudged
    dead = sum(n for what, n in run.counts.items() if what.startswith("dead_letters."))
    counted = [run.counts.get(what, 0) for what in ("scored", "unjudged", "late")]
    assert sum(counted) + dead == run.counts["events"]


@hypothesis.settings(max_examples=15)
@given(st.integers(1, EVENTS - 1))
def test_counts_go_on_after_a_restore(stop):
    chosen = settings(track=200)
    raw = series()
    whole, before = Run(chosen).feed(raw), Run(chosen).feed(raw.take(np.arange(stop)))
    after = Run(chosen, before.saved).feed(raw.take(np.arange(stop, EVENTS)))
    for what in ("scored", "unjudged"):
        assert before.counts.get(what, 0) + after.counts.get(what, 0) == whole.counts[what]

    def reported(run):
        events = [json.loads(text) for _, text in run.notices]
        return [event["data"]["unjudged"] for event in events if event["type"] == TRACKED]

    assert reported(before) + reported(after) == reported(whole)
    assert sum(reported(whole)) == whole.counts["unjudged"]


def test_a_state_of_an_earlier_release_begins_the_count():
    tracker = QualityTracker(100)
    earlier = [[1, 0, 0, 0], 2, 3, {"point": 1}]
    tracker.restore(earlier)
    assert tracker.to_state() == [*earlier, 0]


def test_aggregates_of_windows_are_not_counted():
    windows = {"minute": {"size": "1m", "aggregates": {"x": ["mean"]}}}
    plain = Run(settings()).feed(series())
    with_windows = Run(settings(windows=windows)).feed(series())
    assert with_windows.counts["windows"] > 0
    assert [with_windows.counts[what] for what in ("scored", "unjudged")] == [
        plain.counts[what] for what in ("scored", "unjudged")
    ]
