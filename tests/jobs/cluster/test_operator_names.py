"""Operators are named by what they carry. State is found by uid, and no uid depends on the plan."""

from __future__ import annotations

import pytest
from streamgauge.jobs.cluster.operator_names import short_name, sink_uid
from streamgauge.jobs.settings.kafka import TopicSettings

TOPICS = TopicSettings(alerts="pump.alerts_2", dead_letters="demo-1795339651-dead-letters")


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("Source: KafkaSource-default_catalog.default_database.event_records", "events"),
        ("Source: KafkaSource-default_catalog.default_database.control", "control"),
        ("batches", "batches"),
        ("Calc[13]", "columns"),
        ("score", "score"),
        ("Map, _stream_key_by_map_operator", "rows"),
        ("DataStreamToTable", "rows"),
        ("sink pump.alerts_2[17]: Writer", "alerts"),
        ("sink demo-1795339651-dead-letters[19]: Writer", "dead-letters"),
        ("sink demo-1795339651-dead-letters[19]: Committer", "commit"),
        ("SinkMaterializer[20]", "SinkMaterializer"),
    ],
)
def test_an_operator_has_a_short_name_without_a_number_of_the_plan(name, short):
    assert short_name(name, name, TOPICS) == short


def test_a_check_that_begins_a_task_is_named_by_what_it_checks():
    described = "[9]:ConstraintEnforcer[NotNullEnforcer(fields=[topic])]"
    assert short_name("ConstraintEnforcer[9]", described, TOPICS) == "messages"


def test_the_parts_of_a_sink_have_uids_without_a_number_of_the_plan_or_the_name_of_a_topic():
    names = [
        "sink pump.alerts_2[17]: Writer",
        "sink pump.alerts_2[17]: Committer",
        "sink pump.alerts_2: Writer",
        "score",
    ]
    assert [sink_uid(name, TOPICS) for name in names] == ["alerts-writer", "alerts-committer", "alerts-writer", None]
