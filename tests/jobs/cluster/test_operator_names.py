"""Operators are named by what they carry. State is found by uid, so no savepoint depends on these names."""

from __future__ import annotations

import pytest
from streamgauge.jobs.cluster.operator_names import short_name
from streamgauge.jobs.settings.kafka import TopicSettings

TOPICS = TopicSettings(alerts="pump.alerts_2", dead_letters="demo-1795339651-dead-letters")


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("Source: KafkaSource-default_catalog.default_database.event_records", "events"),
        ("Source: KafkaSource-default_catalog.default_database.control", "control"),
        ("Source: heartbeats[6]", "heartbeats"),
        ("WindowAggregate[4]", "batches"),
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


@pytest.mark.parametrize(("field", "short"), [("batch", "shards"), ("topic", "messages")])
def test_two_checks_that_begin_a_task_have_different_names(field, short):
    described = f"[9]:ConstraintEnforcer[NotNullEnforcer(fields=[{field}])]"
    assert short_name("ConstraintEnforcer[9]", described, TOPICS) == short
