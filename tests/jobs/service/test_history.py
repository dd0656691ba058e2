"""The history holds each change once, together with the offsets that it came from."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import socket

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from streamgauge.jobs.kafka.feedback import about
from streamgauge.jobs.service.database import configuration, connect, migrate
from streamgauge.jobs.service.history import History, OvertakenError
from streamgauge.jobs.service.queries import Filter, Queries
from streamgauge.jobs.service.tables import changes, incidents, metadata, unreadable
from streamgauge.jobs.settings.kafka import TopicSettings
from streamgauge.models.errors import InputError, SettingsError
from streamgauge.udfs.settings.feedback import FeedbackSettings

from tests.jobs.service.made import START, change, record, records, said


def rows(engine, table):
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]


def everything(engine):
    """All tables but the numbers of changes, which may have gaps."""
    return {
        table.name: [{name: value for name, value in row.items() if name != "number"} for row in rows(engine, table)]
        for table in metadata.sorted_tables
    }


def test_the_migrations_make_the_tables_that_the_code_uses(database):
    with database.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    migrate(database)  # again: nothing to do


def test_a_history_of_the_first_version_keeps_its_rows(history, database):
    config = configuration()
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    history.write(records(change("a1"), change("a2")), {})
    before = rows(database, changes)
    migrate(database)
    assert rows(database, changes) == before
    history.write(records(change("a3"), begin=2), {("alerts", 0): 2})
    assert [row["alert_id"] for row in rows(database, changes)] == ["a1", "a2", "a3"]


def test_the_numbers_of_removed_changes_are_not_given_again(history, database):
    history.write(records(change("a1"), change("a1", "resolved", 1)), {})
    last = rows(database, changes)[-1]["number"]
    assert history.forget(1 << 60) == 1
    history.write(records(change("a2"), begin=2), {("alerts", 0): 2})
    assert [row["number"] > last for row in rows(database, changes)] == [True]


def test_an_incident_has_the_state_of_its_last_change_and_the_values_of_its_first(history, database):
    last = change(state="resolved", minute=9, severity="critical", actual={"flow": 54.0})
    assert history.write(records(change(), change(state="updated", minute=3), last), {}) == 3
    [row] = rows(database, incidents)
    assert (row["state"], row["severity"], row["rank"], row["field"]) == ("resolved", "critical", 3, "flow")
    assert (row["opened"], row["changed"]) == (START, START + 9 * 60_000)
    assert row["first"]["actual"]["flow"] == 11.0
    assert row["last"]["actual"]["flow"] == 54.0
    assert [one["state"] for one in rows(database, changes)] == ["opened", "updated", "resolved"]


def test_a_message_that_comes_again_changes_nothing(history, database):
    first, last = change(), change(state="resolved", minute=9)
    history.write(records(first, last), {})
    before = everything(database)
    assert history.write(records(first, first, begin=2), {("alerts", 0): 2}) == 0
    after = everything(database)
    assert after.pop("consumer_offsets") != before.pop("consumer_offsets")
    assert after == before


def test_offsets_are_written_with_the_rows_and_a_second_writer_is_refused(history, database):
    history.write(records(change()), {})
    assert history.positions() == {("alerts", 0): 1}
    with pytest.raises(OvertakenError):
        history.write(records(change("a2"), begin=0), {})  # thinks that nothing was read
    with pytest.raises(OvertakenError):
        history.write(records(change("a2"), begin=3), {("alerts", 0): 3})
    assert [row["alert_id"] for row in rows(database, incidents)] == ["a1"]
    history.write(records(change("a2"), begin=1), {("alerts", 0): 1})
    assert history.positions() == {("alerts", 0): 2}


HOSTILE = [
    b"not json",
    b"[1]",
    b'{"id": 1}',
    b'{"id": "x", "time": "2025-10-09T09:00:00Z", "data": {}}',
    change(severity="great"),
    change(state="gone"),
    change(alert_id="x" * 401),
    change(window={"from": "yesterday", "to": "2025-10-09T09:00:00Z", "anomalous_events": 1}),
    change(window={"from": 1e300, "to": "2025-10-09T09:00:00Z", "anomalous_events": 1}),
    b'{"id": NaN}',
    json.dumps(change()).replace("11.0", "1e999").encode(),
    json.dumps(change()).replace("11.0", "1e999").replace("pump", "p\\u0075mp").encode(),
    b'{"id": "\xed\xa0\x80"}',
    change(actual=5),
    change(contributions={"flow": "much"}),
    change(contributions=None),
    change(source={"partition": 0}),
    change(rules="none"),
    change(confidence="high"),
    change(entity=7),
    change(contributions={"flow": "0.9", "heat": 0.1}),
    change(expected={"flow": "55"}),
    change(confidence="0.8"),
    change(threshold="1e-4"),
    change(window={"from": "2025-10-09T09:00:00Z", "to": "2025-10-09T09:00:00Z", "anomalous_events": "1"}),
    change(group={"id": "g1", "incidents": "2"}),
    change(source={"partition": "0", "offset": 1}),
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: str(value)[:40])
def test_a_record_that_cannot_be_read_is_kept_with_its_reason_and_the_others_are_written(history, database, value):
    history.write(records(change("a1"), value, change("a2")), {})
    assert [row["alert_id"] for row in rows(database, incidents)] == ["a1", "a2"]
    [bad] = rows(database, unreadable)
    assert (bad["offset"], bool(bad["reason"]), bool(bad["beginning"])) == (1, True, True)
    assert history.positions() == {("alerts", 0): 3}


def test_feedback_that_the_job_refuses_is_unreadable_here_too(history, database):
    hostile = [said(verdict="maybe"), said(alert_id="x" * 401), {"by": "ann"}, b"\xff", said()]
    history.write([record(one, n, "feedback") for n, one in enumerate(hostile)], {})
    assert [row["offset"] for row in rows(database, unreadable)] == [0, 1, 2, 3]
    assert Queries(database).verdicts() == {"false": 1}


def test_feedback_that_nothing_proves_is_unreadable_where_keys_are_trusted(database):
    trust = FeedbackSettings(trusted_keys=("A" * 43 + "=",), sign_key_env="KEY")
    History(database, TopicSettings(), trust).write([record(said(), 0, "feedback")], {})
    [bad] = rows(database, unreadable)
    assert "has no signature" in bad["reason"]
    assert Queries(database).verdicts() == {}


def test_an_update_in_a_later_batch_does_not_change_what_opened_the_incident(history, database):
    history.write(records(change()), {})
    later = change(state="updated", minute=3, contributions={"flow": 0.2, "heat": 0.8}, actual={"heat": 9.0})
    history.write(records(later, begin=1), {("alerts", 0): 1})
    [row] = rows(database, incidents)
    assert (row["field"], row["first"]["actual"]["flow"], row["last"]["actual"]["heat"]) == ("flow", 11.0, 9.0)


def test_no_field_is_named_where_only_a_rule_was_broken(history, database):
    history.write(records(change(contributions={"flow": 0.0, "heat": 0.0}, rules=["hot"])), {})
    [row] = rows(database, incidents)
    assert row["field"] is None


def test_texts_that_databases_cannot_hold_are_changed_visibly(history, database):
    raw = (
        b'{"id": "a-1", "time": "2025-10-09T09:00:00Z", "data": '
        + _data().replace(b"pump-1", b"p\\u0000\\ud800")
        + b"}"
    )
    assert history.write([record(raw, 0)], {}) == 1
    [row] = rows(database, incidents)
    assert row["entity"] == "p\ufffd?"


def _data():
    return json.dumps(change()["data"]).encode()


def test_a_long_name_of_an_entity_is_written(history, database):
    name = "".join(random.Random(1).choices("abcdefghijklmnop\u00e4\u4e2d", k=20_000))
    history.write(records(change(entity=name)), {})
    assert Queries(database).entity(name)["incidents"] == 1


def test_the_newest_feedback_of_a_person_counts(history, database):
    told = [said(by=by, verdict=verdict) for by, verdict in (("ann", "true"), ("bo", "true"), ("ann", "false"))]
    history.write([record(one, n, "feedback") for n, one in enumerate(told)], {})
    assert Queries(database).verdicts() == {"false": 1, "true": 1}


def test_what_was_said_earlier_and_comes_again_replaces_nothing(history, database):
    first, second = said(verdict="true", at="2026-11-22T10:00:00Z"), said(verdict="false", at="2026-11-22T11:00:00Z")
    undone = said(verdict="undo", at="2026-11-22T12:00:00Z")
    for n, one in enumerate((first, second, first, said(verdict="true"))):
        history.write([record(one, n, "feedback")], {("feedback", 0): n})
    assert Queries(database).verdicts() == {"false": 1}
    history.write([record(one, 4 + n, "feedback") for n, one in enumerate((undone, second))], {("feedback", 0): 4})
    assert Queries(database).verdicts() == {"undo": 1}


def test_incidents_that_ended_long_ago_are_removed_with_all_that_belongs_to_them(history, database):
    ended = [change("old"), change("old", "resolved", 1)]
    history.write(records(*ended, change("open"), change("new", "opened", 50), change("new", "resolved", 60)), {})
    assert history.forget(START + 2) == 1  # records arrive a millisecond after each other
    assert {row["alert_id"] for row in rows(database, incidents)} == {"open", "new"}
    assert {row["alert_id"] for row in rows(database, changes)} == {"open", "new"}


def test_records_that_could_not_be_read_are_removed_like_the_rest(history, database):
    history.write(records(b"{", b"["), {})
    assert [row["offset"] for row in rows(database, unreadable)] == [0, 1]
    history.forget(START + 1)
    assert [row["offset"] for row in rows(database, unreadable)] == [1]


def test_another_kind_of_database_is_refused_without_showing_the_url(tmp_path):
    with pytest.raises(SettingsError) as refused:
        connect("mysql://me:secret@host/x", tmp_path)
    assert "allowed is postgresql://" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_pages_of_incidents_join_to_the_whole_list(history, database):
    made = [
        change(f"a{n:02d}", window={"from": START + 1000 * (n // 3), "to": START, "anomalous_events": 1})
        for n in range(25)
    ]
    history.write(records(*made), {})
    queries, found, cursor = Queries(database), [], None
    while True:
        page, cursor = queries.incidents(Filter(state="open"), 4, cursor)
        found += [row["alert_id"] for row in page]
        if cursor is None:
            break
    assert found == sorted(found, key=lambda name: (int(name[1:]) // 3, name), reverse=True)
    assert len(found) == len(set(found)) == 25


def test_feedback_concerns_the_field_that_the_job_names_first_of_some_with_equal_shares(history, database):
    """PostgreSQL keeps no order of keys, and puts the shortest first."""
    tied = {"contributions": {"temperature": 0.5, "rpm": 0.5}, "actual": {"temperature": 9.0, "rpm": 8.0}}
    messages = change("a1", **tied), change("a1", "updated", 1, **tied)
    history.write(records(*messages), {})
    queries = Queries(database)
    found = queries.incident("a1")
    assert found["field"] == "temperature"
    for data in (queries.changes_of("a1"), [one["data"] for one in found["changes"]]):
        assert about(data, "false", "ann").field == about([one["data"] for one in messages], "false", "ann").field


@pytest.mark.parametrize("text", ["[" * 5000, '[true, "a01"]', "[1e999, 2]", '[1, "\\ud800"]', "{}", ""])
def test_no_cursor_of_a_client_is_an_error_of_the_service(history, database, text):
    history.write(records(change("a01")), {})
    with contextlib.suppress(InputError):
        Queries(database).incidents(Filter(), 4, base64.urlsafe_b64encode(text.encode()).decode())


def test_incidents_are_chosen_by_state_entity_kind_severity_and_time(history, database):
    history.write(
        records(
            change("a1"),
            change("a2", entity="pump-2", severity="low"),
            change("a3", entity="pump-2", kind="drift"),
            change("a3", "resolved", 5, entity="pump-2", kind="drift"),
        ),
        {},
    )
    queries = Queries(database)

    def chosen(**of):
        return sorted(row["alert_id"] for row in queries.incidents(Filter(**of), 10)[0])

    assert chosen(state="open") == ["a1", "a2"]
    assert chosen(state="ended") == ["a3"]
    assert chosen(entity="pump-2") == ["a2", "a3"]
    assert chosen(kind="drift") == ["a3"]
    assert chosen(severity="medium") == ["a1", "a3"]
    assert chosen(since=START + 1) == []
    assert chosen(until=START + 1) == ["a1", "a2", "a3"]
    assert queries.count(Filter(state="open")) == 2


def test_connections_to_a_server_that_takes_no_writes_any_more_are_given_up(postgresql, tmp_path):
    url = postgresql.database()
    name = url.rpartition("/")[2]
    migrate(engine := connect(url, tmp_path))
    engine.dispose()
    history = History(engine, TopicSettings())
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        with pytest.raises(DBAPIError, match="read-only"):
            history.write(records(change("a1")), {})
        other.execute("SET default_transaction_read_only = off")
        other.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert history.write(records(change("a1")), {}) == 1
    engine.dispose()


def test_a_server_whose_machine_vanishes_is_noticed(postgresql, tmp_path):
    engine = connect(postgresql.database(), tmp_path)
    with engine.connect() as connection:
        kept = connection.connection.driver_connection
        with socket.fromfd(kept.fileno(), socket.AF_INET, socket.SOCK_STREAM) as end:
            found = [end.getsockopt(socket.IPPROTO_TCP, of) for of in (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE)]
    engine.dispose()
    assert found == [25_000, 10]


def test_two_histories_over_one_database_write_nothing_twice(history, database):
    other = History(database, TopicSettings())
    made = [change(f"a{n}") for n in range(40)]
    writers, choose = [(history, history.positions()), (other, other.positions())], random.Random(3)
    refused = 0
    while (at := history.positions().get(("alerts", 0), 0)) < len(made):
        k = choose.randrange(2)
        writer, known = writers[k]
        begin = known.get(("alerts", 0), 0)
        end = min(begin + choose.randint(1, 6), len(made))
        try:
            writer.write(records(*made[begin:end], begin=begin), dict(known))
            known["alerts", 0] = end
        except OvertakenError:
            refused += 1
            writers[k] = (writer, writer.positions())
        assert history.positions().get(("alerts", 0), 0) >= at
    assert refused > 0
    assert len(rows(database, changes)) == 40
