"""The figures of quality and of models, from what the job and the trainer told. Each test runs on both databases."""

from __future__ import annotations

import json

import pytest
from alembic import command
from sqlalchemy import func, select
from streamgauge.jobs.service import models as trained
from streamgauge.jobs.service import notices
from streamgauge.jobs.service.database import configuration, migrate
from streamgauge.jobs.service.models import models
from streamgauge.jobs.service.notices import COMPARED, TRACKED
from streamgauge.jobs.service.quality import newest_reports, quality
from streamgauge.jobs.service.tables import comparisons, reports
from streamgauge.jobs.settings.loading import RetrainSettings
from streamgauge.udfs.monitoring import quality as tracker
from streamgauge.udfs.scoring.calibrate import SHADOW

from tests.jobs.service.made import START, change, compared, records, report, said, step

WEEK = 7 * 24 * 60  # minutes


@pytest.fixture
def told(history):
    """Writes notices, in order."""
    written = [0]

    def write(*messages):
        expected = {("notices", 0): written[0]} if written[0] else {}
        history.write(records(*messages, begin=written[0], topic="notices"), expected)
        written[0] += len(messages)

    return write


def counts(share):
    return None if share is None else (share.hits, share.of)


def test_without_reports_nothing_is_claimed(database):
    found = quality(database, 8)
    assert (found.promised, found.achieved, found.weeks, found.kinds) == (None, None, [], {})
    assert models(database, RetrainSettings()) == []


def test_the_promise_is_the_sum_of_what_each_partition_reported_last(database, told):
    old = report(0, 1, promise={"promised": 9.0, "achieved": 9.0, "by_age": {}})
    told(old, report(0, 2), report(1, 2), report(2, 2, promise=None))
    found = quality(database, 8)
    assert (found.promised, found.achieved) == (1.0, 1.5)
    assert found.entities == {"known": 120, "warm": 90, "rich": 60}
    assert (found.events, found.unjudged) == (80_000, 400)


def test_a_partition_that_reports_rarely_counts_beside_a_busy_one(database, told):
    told(report(0, 1, topic="others"), report(0, 2), *(report(1, 3 + minute) for minute in range(600)))
    found = quality(database, 8)
    assert (found.promised, found.achieved, found.entities["known"]) == (1.5, 2.25, 120)


def test_of_reports_of_the_same_time_the_one_that_arrived_last_is_the_newest(database, told):
    told(*({**report(0, 1, models={"pumps": str(n)}), "id": f"t{n}"} for n in (3, 1, 2)), report(1, 0))
    assert [one.models for _, one in newest_reports(database)] == [{"pumps": "2"}, {}]


def test_reports_that_were_there_before_their_figures_had_columns_count_as_those_after(history, database, told):
    whole = report(0, 1, ("point", True), topic="others")
    told(whole, report(1, 2, ("drift", False)), report(2, WEEK, None, promise=None), step("trained", 1))
    history.write(records(change("a1"), change("a2", kind="drift")), {})
    history.write(records(said("a1", "ann", "true"), topic="feedback"), {})
    with database.connect() as connection:
        before = quality(database, 8), connection.execute(select(reports).order_by(reports.c.event_id)).all()
    config = configuration()
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
    migrate(database)
    with database.connect() as connection:
        assert (quality(database, 8), connection.execute(select(reports).order_by(reports.c.event_id)).all()) == before
    assert len(before[1]) == 3


def test_an_odd_number_in_a_report_does_not_stop_the_migration(database, told):
    told(report(0, 1, of="1_000"), report(1, 1))
    config = configuration()
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
    migrate(database)
    assert len(newest_reports(database)) == 2
    assert 20_000 <= quality(database, 8).events <= 21_000


def test_a_report_counts_until_it_is_removed(history, database, told):
    told(report(0, 1), report(1, 2))
    history.forget(START + 1)
    assert (quality(database, 8).events, len(newest_reports(database))) == (20_000, 1)


def test_precision_is_of_incidents_on_which_people_do_not_disagree(database, history):
    history.write(records(*(change(f"a{n}", kind="drift" if n == 3 else "point") for n in range(5))), {})
    words = [
        said("a0", "ann", "true"),
        said("a0", "ben", "true"),
        said("a1", "ann", "false"),
        said("a2", "ann", "true"),
        said("a2", "ben", "false"),  # as many for it as against it
        said("a3", "ann", "true", kind="drift"),
        said("a4", "ann", "ignore", until="2025-10-10T09:00:00Z"),
    ]
    history.write(records(*words, topic="feedback"), {})
    found = quality(database, 8)
    assert {kind: (one.incidents, counts(one.precision)) for kind, one in found.kinds.items()} == {
        "drift": (1, (1, 1)),
        "point": (4, (1, 2)),
    }
    assert counts(found.found.precision) == (2, 3)
    assert found.found.precision.least < 2 / 3 < found.found.precision.most


def test_recall_is_of_probes_by_kind_and_week(database, told):
    probes = [("point", True), ("point", False), ("drift", True), None]
    told(*(report(0, minute, probe) for minute, probe in enumerate(probes)), report(0, WEEK, ("drift", False)))
    found = quality(database, 8)
    assert {kind: counts(one.recall) for kind, one in found.kinds.items()} == {"drift": (1, 2), "point": (1, 2)}
    assert [counts(week.found.recall) for week in found.weeks] == [(0, 1), (2, 3)]
    assert [week.begins.date().isoformat() for week in found.weeks] == ["2025-10-13", "2025-10-06"]  # Mondays
    assert [(week.promised, week.opened) for week in found.weeks] == [(0.75, 3), (3.0, 12)]


def test_only_the_newest_weeks_with_something_in_them_count(database, history, told):
    history.write(records(change("a1")), {})
    told(report(0, 5 * WEEK), report(0, 9 * WEEK))
    assert [week.begins.date().isoformat() for week in quality(database, 2).weeks] == ["2025-12-08", "2025-11-10"]
    assert quality(database, 2).found.incidents == 0
    assert quality(database, 3).found.incidents == 1


def test_an_incident_of_a_week_without_a_report_leaves_its_promise_open(database, history):
    history.write(records(change("a1")), {})
    [week] = quality(database, 8).weeks
    assert (week.promised, week.opened, week.found.incidents) == (None, None, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        report(of="many"),
        report(probe=("point", "perhaps")),
        report(promise={"promised": 1e300, "achieved": 0, "by_age": {}}),
        json.dumps(report()).encode().replace(b'"events": 20000', b'"events": 1e999'),
        step("trained", version="newest"),
        compared(probes=-1),
    ],
    ids=repr,
)
def test_a_notice_that_the_views_could_not_show_is_set_aside(database, history, wrong):
    history.write(records(wrong, report(1, 1), topic="notices"), {})
    assert len(newest_reports(database)) == 1
    assert quality(database, 8).events == 20_000


def test_the_names_are_those_of_the_job():
    assert tracker.TRACKED == TRACKED
    assert trained.SHADOW == SHADOW
    assert COMPARED.startswith(notices.STEP)


def test_a_model_has_its_versions_steps_and_the_gates_of_its_shadow(database, told):
    told(
        step("trained", 1, version=2, detector="isolation_forest", rows=5000, reason="columns"),
        step("trained", 2, version=3, detector="mixture", rows=5000, reason="columns"),
        step("rejected", 3, version=3, gate="cost", why="it is slower", us_per_event=9.0, separates_planted=0.9),
        compared(4),
        step("shadowed", 5, version=2, live=1, separates_planted=0.9, live_separates_planted=0.8),
        compared(6),
        compared(7, threshold=1e-2),
        compared(8, model="valves"),
    )
    [model] = models(database, RetrainSettings())
    assert (model.model, model.roles.live, model.roles.shadow, model.roles.canary) == ("pumps", 1, 2, None)
    assert [(one.version, one.state, one.why) for one in model.versions] == [
        (3, "rejected", "it is slower"),
        (2, "shadowed", None),
    ]
    gates = model.comparison  # what was counted before it became the shadow does not count
    assert (gates.events, gates.events_needed, gates.shadow_alerts, gates.live_alerts) == (10_000, 10_000, 8, 6)
    assert gates.alerts_allowed == pytest.approx(5 * (0.5 + 50))
    assert (gates.probes, gates.shadow_found, gates.live_found) == (80, 60, 40)
    assert [one.step for one in model.steps] == ["shadowed", "rejected", "trained", "trained"]


@pytest.mark.parametrize(
    ("last", "roles"),
    [
        (("canary", {"version": 2, "live": 1, "share": 0.1}), (1, 2, 0.1)),
        (("promoted", {"version": 2, "live": 1}), (2, 1, None)),
        (("settled", {"version": 2, "live": 2}), (2, None, None)),
        (("rolled_back", {"version": 1, "live": 2}), (1, None, None)),
        (("rejected", {"version": 2, "live": 1, "why": "too many alerts"}), (1, None, None)),
        (("rejected", {"version": 3, "live": 1}), (1, 2, None)),
    ],
    ids=str,
)
def test_the_roles_follow_the_steps_of_the_trainer(database, told, last, roles):
    kind, data = last
    told(step("shadowed", 1, version=2, live=1), step(kind, 2, **data))
    [model] = models(database, RetrainSettings())
    assert (model.roles.live, model.roles.shadow, model.roles.canary) == roles


def test_a_roll_back_is_told_of_the_version_that_was_given_up(database, told):
    told(step("promoted", 1, version=2, live=1), step("rolled_back", 2, version=1, live=2, why="too many alerts"))
    [model] = models(database, RetrainSettings())
    assert [(one.version, one.state, one.why) for one in model.versions] == [(2, "rolled_back", "too many alerts")]


def test_what_the_job_reports_later_counts_more_than_steps(database, told):
    told(step("shadowed", 1, version=2, live=1), report(0, 2, models={"pumps": "7", "valves": "1"}))
    pumps, valves = models(database, RetrainSettings())
    assert (pumps.roles.live, pumps.roles.shadow) == (7, None)
    assert (valves.model, valves.roles.live, valves.versions) == ("valves", 1, [])


def test_a_request_that_waits_is_told(database, told):
    told(step("deferred", 1, why="waits 60 s after 1 rejected answer", asked={"reason": "columns"}))
    [model] = models(database, RetrainSettings())
    assert model.waits == "waits 60 s after 1 rejected answer"


def test_a_request_that_waits_for_a_shadow_is_told_until_that_is_more_than_a_canary(database, told):
    told(step("shadowed", 1, version=2, live=1), step("deferred", 2, why="waits until"))
    told(step("canary", 3, version=2, live=1, share=0.1))
    assert models(database, RetrainSettings())[0].waits == "waits until"
    told(step("promoted", 4, version=2, live=1))
    assert models(database, RetrainSettings())[0].waits is None


def test_all_comparisons_since_the_last_step_count_however_many_there_are(database, told):
    told(step("shadowed", 1, version=2, live=1), step("shadowed", 1, "valves", version=2, live=1))
    told(compared(2), *(compared(3 + n, model="valves", events=100) for n in range(2_100)))
    pumps, valves = models(database, RetrainSettings())
    assert (pumps.comparison.events, pumps.comparison.probes, pumps.comparison.shadow_alerts) == (5_000, 40, 4)
    assert (valves.comparison.events, valves.comparison.probes) == (210_000, 84_000)


def test_a_model_keeps_its_versions_however_often_the_trainer_waits_or_works_on_others(database, told):
    told(step("trained", 1, version=2, rows=5000), step("shadowed", 2, version=2, live=1))
    told(step("shadowed", 2, "valves", version=4, live=3))
    told(*(step("deferred", 3 + n, why="waits 60 s") for n in range(600)))
    pumps, valves = models(database, RetrainSettings())
    assert (pumps.roles.live, pumps.roles.shadow, pumps.waits) == (1, 2, "waits 60 s")
    assert [(one.version, one.state, one.rows) for one in pumps.versions] == [(2, "shadowed", 5000)]
    assert (valves.roles.live, valves.roles.shadow) == (3, 4)


def test_comparisons_that_were_there_before_their_figures_had_columns_count_as_those_after(database, told):
    odd = compared(5, events="1_000", model="valves")
    told(step("shadowed", 1, version=2, live=1), compared(2), compared(3, threshold=1e-2, live_right=7), odd)
    before = models(database, RetrainSettings())
    config = configuration()
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0007")
    migrate(database)
    assert models(database, RetrainSettings()) == before
    assert before[0].comparison.live_found == 27


def test_a_comparison_counts_until_it_is_removed(history, database, told):
    told(compared(1), step("shadowed", 2, version=2, live=1), compared(3), compared(4))
    history.forget(START + 3)
    with database.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(comparisons)) == 1
