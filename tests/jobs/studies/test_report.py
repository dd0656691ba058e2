"""A page about a period: every figure comes from records on the topics. Without records there is no figure."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from streamgauge.jobs.pages.report_page import page
from streamgauge.jobs.studies.effect import compared
from streamgauge.jobs.studies.report import PeriodRecords, figures_of
from streamgauge.udfs.control.feedback import Feedback, Source

BEGIN, HOUR = 1_790_000_000_000, 3_600_000


def alert(k, kind="point", state="opened", late=0.2):
    at = BEGIN + k * HOUR
    data = {
        "alert_id": f"a{k}",
        "entity": f"e{k % 3}",
        "kind": kind,
        "state": state,
        "severity": "high",
        "contributions": {"x": 0.7, "y": 0.3},
    }
    moment = datetime.fromtimestamp(at / 1000, UTC).isoformat()
    return at + int(late * 1000), {"type": f"io.streamgauge.alert.{state}", "time": moment, "data": data}


def tracked(k, kind="point", found=True, partition=0, tier="rich"):
    probe = {"kind": kind, "tier": tier, "found": found, "members": {"loda": found, "cusum": False}}
    data = {
        "partition": partition,
        "of": 1000,
        "threshold": 1e-4,
        "promise": {
            "promised": 0.5,
            "achieved": 0.25 * k,
            "by_age": {
                "day_1": {"events": 400, "promised": 0.04, "opened": k},
                "days_2_to_7": {"events": 600, "promised": 0.06, "opened": 0},
                "later": {"events": 0, "promised": 0.0, "opened": 0},
            },
        },
        "rarer": {"1e-1": 100, "1e-2": 20, "1e-3": 1, "1e-4": 0},
        "probe": probe,
        "entities": {"known": 10 + k, "warm": 9, "rich": 8},
        "models": {"pumps": "2"},
    }
    return BEGIN + k * HOUR, data


def judged(k, verdict, by="ann", source=None):
    return Feedback(
        alert_id=f"a{k}", entity=f"e{k % 3}", kind="point", tail_probability=1e-5, verdict=verdict, by=by, source=source
    )


def rejection(why):
    data = {"model": "pumps", "version": 3, "why": why}
    return {"type": "io.streamgauge.model.rejected", "data": data}


@pytest.fixture
def found():
    step = {
        "type": "io.streamgauge.model.promoted",
        "data": {"model": "pumps", "version": 2, "why": "<b>few alerts</b>"},
    }
    return PeriodRecords(
        alerts=[alert(k, "drift" if k == 3 else "point") for k in range(4)] + [alert(0, state="resolved")],
        tracked=[tracked(k, "point" if k % 2 else "drift", k != 0, partition=k % 2) for k in range(4)],
        steps=[
            (BEGIN, step),
            *((BEGIN + k, rejection(why)) for k, why in enumerate(("too slow", "too many", "too slow"))),
        ],
        feedback=[
            judged(0, "true"),
            judged(1, "false"),
            judged(1, "true", "ben"),
            judged(2, "false"),
            judged(99, "true"),
        ],
        effect=compared({("e", "events", 0, 1), ("e", "events", 0, 2)}, {("e", "events", 0, 1)}, [], 500),
    )


def test_precision_counts_alerts_by_votes_and_equal_votes_do_not_count(found):
    figures = figures_of(found)
    assert (figures["alerts"], figures["judged"]) == (4, 2)
    share, low, high = figures["precision"]
    assert share == 0.5
    assert low < share < high
    assert figures["false_alarms_per_event"] == pytest.approx(4 * 0.5 / 4000)


def test_recall_calibration_latency_and_coverage_come_from_the_notices_about_quality(found):
    figures = figures_of(found)
    assert {of: share[0] for of, share in figures["recall"].items()} == {
        "all": 0.75,
        "drift": 0.5,
        "point": 1.0,
        "rich": 0.75,
    }
    assert {name: share[0] for name, share in figures["recall_by_member"].items()} == {"cusum": 0.0, "loda": 0.75}
    assert figures["calibration"] == pytest.approx({"1e-1": 1.0, "1e-2": 2.0, "1e-3": 1.0, "1e-4": 0.0})
    assert figures["latency_seconds"]["p50"] == pytest.approx(0.2)
    assert figures["entities"] == {"known": 12 + 13, "warm": 18, "rich": 16}  # as each partition reported last
    assert figures["kinds"] == {"point": 3, "drift": 1}


def test_unjudged_events_do_not_count_in_the_calibration(found):
    assert figures_of(found)["unjudged"] == 0  # an earlier release did not count them
    for _, data in found.tracked:
        data["unjudged"] = 200
    figures = figures_of(found)
    assert (figures["events"], figures["unjudged"]) == (4000, 800)
    assert figures["calibration"] == pytest.approx({"1e-1": 1.25, "1e-2": 2.5, "1e-3": 1.25, "1e-4": 0.0})
    for _, data in found.tracked:
        data["unjudged"] = 1000
    assert figures_of(found)["calibration"] == {}


def test_the_promise_is_as_each_partition_reported_last_and_by_age_over_the_period(found):
    promise = figures_of(found)["promise"]
    assert (promise["promised"], promise["achieved"]) == (1.0, 0.5 + 0.75)
    assert promise["by_age"]["day_1"] == pytest.approx({"events": 1600, "promised": 0.16, "opened": 6})
    for _, data in found.tracked:
        del data["promise"]  # as an earlier release wrote it
    assert figures_of(found)["promise"] is None


def test_rejections_of_candidates_are_counted_by_their_reason(found):
    assert figures_of(found)["retraining"] == {
        "pumps": {"steps": {"promoted": 1, "rejected": 3}, "rejected": {"too slow": 2, "too many": 1}}
    }


def test_replayed_history_has_no_latency_and_an_empty_period_no_figures(found):
    found.alerts = [alert(k, late=90 * 86_400) for k in range(3)]
    assert figures_of(found)["latency_seconds"] is None
    empty = figures_of(PeriodRecords())
    assert (empty["precision"], empty["recall"]["all"], empty["false_alarms_per_event"], empty["calibration"]) == (
        None,
        None,
        None,
        {},
    )
    assert "0 incidents opened" in page(PeriodRecords(), empty, "job", BEGIN, BEGIN + HOUR)


def test_the_page_shows_everything_and_escapes_text(found):
    html = page(found, figures_of(found), "job", BEGIN - 1000, BEGIN + 4 * HOUR)
    for text in (
        "What feedback changed",
        "promoted",
        "e0",
        "recall, drift",
        "event to alert, p99",
        "Rejected candidates",
        "too slow",
        "Promise by age of the entity",
    ):
        assert text in html
    assert html.count("data:image/png") == 6
    assert "<b>few alerts</b>" not in html
    assert "&lt;b&gt;few alerts" in html


def test_avoided_and_lost_incidents_are_counted_by_feedback():
    def at(offset, verdict):
        place = Source(partition=0, first=offset, last=offset + 5)
        return judged(0, verdict, source=place).model_copy(update={"alert_id": f"{offset}"})

    without = {("e0", "events", 0, offset) for offset in (10, 20, 30, 40)}
    with_it = {("e0", "events", 0, offset) for offset in (40, 50)}
    effect = compared(without, with_it, [at(10, "false"), at(20, "true")], 1000)
    assert effect.avoided == {"false": 1, "true": 1, "unjudged": 1}
    assert (effect.alerts_without, effect.alerts_with, effect.added) == (4, 2, 1)


def test_feedback_on_one_topic_does_not_count_for_the_same_offsets_of_another():
    place = Source(topic="pumps", partition=0, first=10, last=15)
    feedback = [judged(0, "true", source=place)]
    without = {("e0", topic, 0, 10) for topic in ("pumps", "valves")}
    assert compared(without, set(), feedback, 1000).avoided == {"false": 0, "true": 1, "unjudged": 1}
