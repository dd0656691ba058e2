"""Which incidents belong together."""

from __future__ import annotations

from alembic import command
from streamgauge.jobs.service.database import configuration, migrate
from streamgauge.jobs.service.groups import Groups
from streamgauge.jobs.service.queries import Filter, Queries

from tests.jobs.service.made import START, change, grouped, records

ROOT = {"entity": "pump-1", "field": "flow", "time": "2025-10-09T09:00:00Z"}


def of(group, incidents):
    return {"group": {"id": group, "incidents": incidents, "root": ROOT}}


def together(database):
    """The groups of open incidents: the ids of each, its size, and its root."""
    rows, _ = Queries(database).incidents(Filter(state="open"), 100, worst_first=True)
    found = Groups(database).together(rows)
    return [(sorted(one["alert_id"] for one in group.incidents), group.size) for group in found]


def test_incidents_of_one_partition_are_grouped_as_their_alerts_say_and_the_worst_comes_first(database, history):
    made = [
        change("a1", **of("a1", 1)),
        change("a2", **of("a1", 2), severity="low"),
        change("a3", **of("a3", 1), severity="critical"),
        change("a4", severity="critical"),  # grouping is off, or it is a silence
    ]
    history.write(records(*made), {})
    assert together(database) == [(["a4"], 1), (["a3"], 1), (["a1", "a2"], 2)]


def test_groups_of_several_partitions_are_joined_as_the_newest_notice_says(database, history):
    history.write(records(change("a1", **of("a1", 1)), change("b1", **of("b1", 1)), change("c1", **of("c1", 1))), {})
    told = [grouped(2, ["a1", "b1"], 1), grouped(4, ["a1", "b1", "d1"], 2)]
    history.write(records(*told, topic="notices"), {})
    assert together(database) == [(["c1"], 1), (["a1", "b1"], 4)]


def test_a_group_is_known_however_many_others_were_told_of_since(database, history):
    history.write(records(change("a1", **of("a1", 1)), change("b1", **of("b1", 1))), {})
    others = [grouped(2, [f"c{n}", f"d{n}"], 2 + n % 50) for n in range(600)]
    history.write(records(grouped(2, ["a1", "b1"], 1), *others, topic="notices"), {})
    assert together(database) == [(["a1", "b1"], 2)]


def test_a_smaller_notice_that_comes_later_changes_no_group(database, history):
    history.write(records(change("a1", **of("a1", 1)), change("b1", **of("b1", 1))), {})
    history.write(records(grouped(4, ["a1", "b1", "d1"], 2), grouped(3, ["a1"], 2), topic="notices"), {})
    history.write(records(grouped(2, ["b1", "a1"], 1), begin=2, topic="notices"), {("notices", 0): 2})
    assert together(database) == [(["a1", "b1"], 4)]


def test_groups_that_were_told_of_before_they_had_a_table_are_known(database, history):
    history.write(records(change("a1", **of("a1", 1)), change("b1", **of("b1", 1))), {})
    told = [grouped(4, ["a1", "b1", "d1"], 2), grouped(2, ["b1", "a1"], 1)]
    history.write(records(*told, topic="notices"), {})
    before = together(database)
    config = configuration()
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0008")
    migrate(database)
    assert together(database) == before == [(["a1", "b1"], 4)]


def test_groups_are_forgotten_with_the_notices_about_them(database, history):
    history.write(records(change("a1", **of("a1", 1)), change("b1", **of("b1", 1))), {})
    history.write(records(grouped(2, ["a1", "b1"], 1), topic="notices"), {})
    history.forget(START + 1)
    assert together(database) == [(["b1"], 1), (["a1"], 1)]


def test_an_incident_names_those_that_opened_together_with_it(database, history):
    history.write(records(change("a1", **of("a1", 1)), change("a2", **of("a1", 2)), change("a3", **of("a3", 1))), {})
    queries = Queries(database)
    assert [one["alert_id"] for one in queries.opened_with(queries.incident("a1"))] == ["a2"]
    assert queries.opened_with(queries.incident("a3")) == []
