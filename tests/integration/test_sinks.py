"""Each sink of each job has transactions of its own: two that share an id would fence each other, and none would commit."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment
from streamgauge.jobs.cluster.flink_tables import message_sink
from streamgauge.jobs.settings.kafka import KafkaSettings
tables = StreamTableEnvironment.create(StreamExecutionEnvironment.get_execution_environment())
told = []
for group, topic, delivery, interval in json.load(sys.stdin):
    name = message_sink(tables, KafkaSettings(group=group), topic, delivery, interval)
    told.append(next(iter(tables.execute_sql(f"SHOW CREATE TABLE {name}").collect()))[0])
    tables.execute_sql(f"DROP TABLE {name}")
print(json.dumps(told))
"""
ASKED = [
    ("one", "alerts", "exactly_once", 1_000),
    ("one", "scores", "exactly_once", 1_000),
    ("two", "alerts", "exactly_once", 400_000),
    ("one-alerts", "a", "exactly_once", 1_000),
    ("one", "alerts-a", "exactly_once", 1_000),
    ("one", "alerts", "at_least_once", 1_000),
]


@pytest.fixture(scope="module")
def sinks() -> list[dict[str, str]]:
    """Options of each sink that is asked for, as Flink has them. It has a process of its own, which ends with its JVM."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, input=json.dumps(ASKED), capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    return [dict(re.findall(r"'([^']+)' = '([^']*)'", text)) for text in told]


def test_no_two_sinks_share_transactional_ids(sinks):
    ids = [options["sink.transactional-id-prefix"] for options in sinks[:-1]]
    assert len(set(ids)) == len(ids)
    assert not any(one != other and one.startswith(other) for one in ids for other in ids)


def test_the_access_rules_of_a_job_cover_its_transactional_ids(sinks):
    """They begin with the name of the consumer group, as docs/security.md says."""
    for (group, *_), options in zip(ASKED[:-1], sinks[:-1], strict=True):
        assert options["sink.transactional-id-prefix"].startswith(f"{group}:")


def test_a_transaction_may_last_longer_than_two_checkpoints(sinks):
    assert [options["sink.delivery-guarantee"] for options in sinks] == ["exactly-once"] * 5 + ["at-least-once"]
    assert [options["properties.transaction.timeout.ms"] for options in sinks[1:3]] == ["600000", "800000"]


def test_without_exactly_once_there_are_no_transactions(sinks):
    assert not any("transaction" in key for key in sinks[-1])
