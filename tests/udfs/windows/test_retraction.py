"""An alert about a window is taken back only if nothing supports it any more, and counts like any other."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.persistence.codec import pack
from streamgauge.udfs.scoring.scorer import Scorer
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.windows.report import Reported, WindowReport

from tests.streams import Run, batch
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


def test_an_alert_that_has_ended_is_not_updated_when_late_events_confirm_it():
    """Nobody would end it a second time, so it would look open for ever."""
    made = events(minutes=60, burst=30)
    last = max(k for k, (t, e) in enumerate(made) if e["entity"] == "pump" and (t - BEGIN) // MINUTE == 30)
    keys = [t + 4 * MINUTE * (k == last) for k, (t, _) in enumerate(made)]
    chosen = settings(threshold=1e-12, quiet_events=2).model_dump()
    chosen["decide"]["rules"] = [{"id": "many", "when": "minute.count > 50"}]
    run = Run(PipelineSettings.model_validate(chosen)).feed(raw(made, np.argsort(keys, kind="stable").tolist()))
    assert run.counts["windows_amended"] == 1
    assert [alert["state"] for alert in of_pump(run)] == ["opened", "resolved"]
    assert run.shard.partitions[0].open_alerts() == set()


def test_an_incident_is_never_less_severe_because_of_late_events():
    opened, *later = of_pump(Run(settings(threshold=RARE)).feed(with_gaps(events(), (160, 3.0), (162, 2.2))))
    assert [alert["state"] for alert in later] == ["updated", "updated", "retracted"]
    for key in ("severity", "channel", "kind", "peak_score"):
        assert {alert[key] for alert in later} == {opened[key]}, key
    assert opened["score"] > later[-1]["score"]


def test_late_events_that_are_more_severe_raise_the_severity_for_good():
    chosen = settings(threshold=1e-12).model_dump()
    ids = [("few", "minute.count < 5", "low"), ("many", "minute.count > 50", "critical")]
    chosen["decide"]["rules"] = [{"id": name, "when": when, "severity": severity} for name, when, severity in ids]
    made = [one for one in events(burst=161) if (one[0] - BEGIN) // MINUTE != 160 or one[0] % MINUTE < 5_000]
    run = Run(PipelineSettings.model_validate(chosen)).feed(raw(made, late(made, 161, 3)))
    assert [(one["state"], one["severity"]) for one in of_pump(run)] == [
        ("opened", "low"),
        ("updated", "critical"),
        ("resolved", "critical"),
    ]


def test_an_incident_that_late_events_open_goes_on_like_one_that_opened_in_time():
    made = [one for one in events(burst=160) if (one[0] - BEGIN) // MINUTE != 172 or one[0] % MINUTE < 5_000]
    in_time, late_one = (of_pump(Run(settings()).feed(raw(made, order))) for order in (None, late(made, 160, 13 / 6)))
    assert [alert["state"] for alert in in_time] == ["opened", "resolved", "opened"]
    for key in ("state", "alert_id", "kind"):
        assert [alert[key] for alert in late_one] == [alert[key] for alert in in_time], key
    assert late_one[1]["peak_score"] == late_one[0]["peak_score"] > 0.8


def with_rule_for_few(weight):
    chosen = settings(threshold=1e-12, quiet_events=2).model_dump()
    chosen["decide"]["rules"] = [{"id": "few", "when": "minute.count < 5"}]
    chosen["detectors"]["value_novelty"]["weight"] = weight
    return PipelineSettings.model_validate(chosen)


def test_an_alert_that_has_ended_is_retracted_under_its_id_after_a_restart_with_other_weights():
    stream = with_gaps(events(60), (30, 4.2))
    ended = next(i for i, stamp in enumerate(stream.stamps) if stamp >= BEGIN + 34 * MINUTE)
    run = Run(with_rule_for_few(1.0)).feed(stream.take(np.arange(ended)))
    opened, resolved = of_pump(run)
    assert (opened["state"], resolved["state"]) == ("opened", "resolved")
    after = Run(with_rule_for_few(2.0), run.saved).feed(stream.take(np.arange(ended, len(stream))))
    [retracted] = of_pump(after)
    assert (retracted["state"], retracted["alert_id"]) == ("retracted", opened["alert_id"])
    for key in ("severity", "channel", "kind", "peak_score"):
        assert retracted[key] == opened[key], key


def test_the_report_of_a_window_that_an_earlier_release_saved_is_read():
    state = pack("window told", 1, {"values": {}, "scores": {}, "incident": {"pump": [BEGIN, 20]}}, {})
    assert WindowReport.from_state(state).incident == {"pump": Reported(BEGIN, 20)}


@pytest.mark.parametrize(("every", "windows"), [("1 m", 1), ("20 s", 3)])
def test_late_events_that_come_before_the_next_end_share_one_copy_of_the_detectors_for_each_window(
    monkeypatch, every, windows
):
    """Judging learns, so it is done on a copy. There is one for a window, not one for each late event or entity."""
    copies, undone = [], Scorer.learning_undone

    def counted(scorer):
        copies.append(scorer)
        return undone(scorer)

    monkeypatch.setattr(Scorer, "learning_undone", counted)
    made = events()
    is_late = [e["entity"] != "valve" and (t - BEGIN) // 20_000 == 3 * 160 for t, e in made]
    assert sum(is_late) == 8
    keys = [BEGIN + 162 * MINUTE + 12_000 if late else t for late, (t, _) in zip(is_late, made, strict=True)]
    run = Run(settings(every)).feed(raw(made, np.argsort(keys, kind="stable").tolist()))
    assert run.counts["windows_amended"] == 2 * windows  # two entities in each
    assert len(copies) == windows


def test_an_alert_that_late_events_open_counts_in_the_promise():
    made = events(burst=160)
    run = Run(with_promise(settings(), "500 per day")).feed(raw(made, late(made, 160, 13 / 6)))
    assert any("amended" in alert and alert["state"] == "opened" for alert in of_pump(run))
    partition = run.shard.partitions[0]
    told = partition.stages.promise.report(False)["by_age"]
    opened = [alert for alert in alerts_of(run, "alert_id") if alert["state"] == "opened"]
    assert sum(age["opened"] for age in told.values()) == len(opened)


@pytest.mark.parametrize("batches", [1, 70])
@pytest.mark.parametrize("minutes", [{}, {"minute": {"size": "1 m", "aggregates": {}}}])
@pytest.mark.parametrize("quiet", [False, True])
def test_a_long_window_is_amended_with_all_its_events_whatever_ends_before_the_next_one(batches, minutes, quiet):
    """Late events of a window are judged when the next window ends, an hour later. Short windows end meanwhile, or time passes."""
    begin = BEGIN // (60 * MINUTE) * 60 * MINUTE
    chosen = settings().model_dump()
    chosen["windows"] = {"long": {"size": "1 h", "aggregates": {"x": ["sum"]}}, **minutes}
    rules = [{"id": "few", "when": "long.count < 58"}]
    chosen["decide"] |= {"rules": rules, "threshold": 1e-12, "quiet_events": 50}
    sent = [(m, entity) for m in range(300) for entity in ("fan", "pump")]
    comes = [181.5 if entity == "pump" and 176 <= m < 180 else m for m, entity in sent]
    order = np.argsort(comes, kind="stable").tolist()
    values = [{"entity": sent[k][1], "ts": begin + sent[k][0] * MINUTE, "x": 1.0} for k in order]
    stream = batch(values, stamps=[int(begin + comes[k] * MINUTE) for k in order])
    run = Run(PipelineSettings.model_validate(chosen))
    for part in np.array_split(np.arange(len(stream)), batches):
        run.feed(stream.take(part))
        if quiet:
            run.take(run.shard.tick({0: 1_000}))
    states = [(alert["state"], alert["aggregate"]["events"]) for alert in of_pump(run)]
    assert states == [("opened", 56), ("retracted", 60)]
