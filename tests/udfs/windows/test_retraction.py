"""An alert about a window is taken back only if nothing supports it any more, and counts like any other."""

from __future__ import annotations

import numpy as np

from tests.streams import Run
from tests.udfs.windows.test_event_windows import BEGIN, MINUTE, alerts_of, events, late, raw, settings, with_promise

FULL = 12  # events of an entity in a minute
RARE = 1e-6  # threshold below which a full minute is usual, whatever came before it


def with_gaps(made, *gaps):
    """A stream where all but the first event of pump's minute come later; `gaps` are (minute, minutes later)."""
    keys = [t for t, _ in made]
    for minute, by in gaps:
        mine = [k for k, (t, e) in enumerate(made) if e["entity"] == "pump" and (t - BEGIN) // MINUTE == minute]
        for k in mine[1:]:
            keys[k] += int(by * MINUTE)
    return raw(made, np.argsort(keys, kind="stable").tolist())


def of_pump(run):
    return [alert for alert in alerts_of(run) if alert["entity"] == "pump"]


def test_an_alert_stays_while_another_window_supports_it_and_is_retracted_with_the_last_one():
    opened, *between, last = of_pump(Run(settings(threshold=RARE)).feed(with_gaps(events(), (160, 3.0), (162, 2.2))))
    assert opened["state"] == "opened"
    assert {alert["alert_id"] for alert in (*between, last)} == {opened["alert_id"]}
    assert between[-1]["amended"]["now"]["actual"]["minute.count"] == FULL
    assert {alert["state"] for alert in between} == {"updated"}  # its own window is usual now, the next one is not
    assert last["state"] == "retracted"
    assert opened["window"]["from"] < last["aggregate"]["from"]


def test_an_alert_whose_first_window_is_past_amending_is_not_retracted():
    """What supported it then is not known any more, so it ends as alerts do."""
    opened, *amended, resolved = of_pump(
        Run(settings(threshold=RARE)).feed(with_gaps(events(), (160, 3.0), (162, 4.2)))
    )
    assert {alert["alert_id"] for alert in (*amended, resolved)} == {opened["alert_id"]}
    assert [alert["aggregate"]["from"] for alert in amended] == sorted(alert["aggregate"]["from"] for alert in amended)
    assert {alert["state"] for alert in amended} == {"updated"}
    assert amended[-1]["amended"]["now"]["actual"]["minute.count"] == FULL
    assert amended[-1]["window"]["from"] < amended[-1]["aggregate"]["from"]
    assert resolved["state"] == "resolved"


def test_after_a_retraction_the_next_fault_opens_an_alert_of_its_own():
    alerts = of_pump(Run(settings()).feed(with_gaps(events(burst=170), (160, 2.2))))
    assert [alert["state"] for alert in alerts[:3]] == ["opened", "retracted", "opened"]
    first, again, second = (alert["alert_id"] for alert in alerts[:3])
    assert first == again != second


def test_an_alert_that_late_events_open_counts_in_the_promise():
    made = events(burst=160)
    run = Run(with_promise(settings(), "500 per day")).feed(raw(made, late(made, 160, 13 / 6)))
    assert any("amended" in alert and alert["state"] == "opened" for alert in of_pump(run))
    partition = run.shard.partitions[0]
    told = partition.stages.promise.report(False)["by_age"]
    opened = [alert for alert in alerts_of(run, "alert_id") if alert["state"] == "opened"]
    assert sum(age["opened"] for age in told.values()) == len(opened)
