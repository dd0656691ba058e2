# ruff: noqa: E402  the path must be corrected before the imports
"""The job: Kafka events in, alerts out. Read it from top to bottom, as the data flows.

Submit it with `streamgauge submit`, or with Flink's own client:
``flink run -Dpython.execution-mode=thread -py jobs/detect_anomalies.py --settings flink-conf/detection.yaml``.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
from pathlib import Path

# Flink's client puts the folder of this script on the path. Its folder `kafka` would then hide the package kafka.
sys.path[:] = [place for place in sys.path if not (Path(place) / Path(__file__).name).exists()]

from pyflink.common import Configuration, Types
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment
from streamgauge.jobs.cluster.flink_tables import (
    events_table,
    further_columns,
    message_sink,
    message_stream,
    shard_expression,
    shard_keys,
    sharded_records,
)
from streamgauge.jobs.cluster.java_operator import add_jar, brought_together, gathered
from streamgauge.jobs.cluster.operator_names import execute_with_short_names
from streamgauge.jobs.kafka.event_topics import refuse_large_topics
from streamgauge.jobs.kafka.pipeline_settings import pipeline_of
from streamgauge.jobs.kafka.topics import read_alerts, read_messages
from streamgauge.jobs.settings.loading import Settings, load
from streamgauge.models.errors import StreamgaugeError
from streamgauge.udfs.flink.group_incidents import GroupIncidents
from streamgauge.udfs.flink.score_batch import (
    CONTROL_STATE,
    DEAD_LETTERS,
    LATE,
    MESSAGE,
    NOTICES,
    OPENED,
    REQUESTS,
    SCORES,
    ScoreBatch,
)
from streamgauge.udfs.flink.scoring import Scoring

MAX_PARALLELISM = 128


def configuration(settings: Settings) -> Configuration:
    """Flink options that follow from the settings. All other options are those of the cluster."""
    job = settings.job
    options = {
        "pipeline.name": job.name,
        "pipeline.max-parallelism": str(MAX_PARALLELISM),
        "parallelism.default": str(job.parallelism),
        "python.execution-mode": job.execution,
        "table.exec.uid.generation": "ALWAYS",
        "table.local-time-zone": "UTC",
        "execution.buffer-timeout.interval": "0 ms",  # records are batches already: each is passed on at once
        "state.backend.type": {"heap": "hashmap", "rocksdb": "rocksdb"}[job.state_backend],
        "execution.checkpointing.incremental": "true",
        "execution.checkpointing.interval": f"{job.checkpoint_milliseconds} ms",
        "execution.checkpointing.mode": job.delivery.upper(),
        "execution.checkpointing.timeout": "10 min",
        "execution.checkpointing.tolerable-failed-checkpoints": "10",
    }
    if job.execution == "process":  # Python inside the TaskManager gathers nothing, and a timer would only wake it
        options["python.fn-execution.bundle.time"] = "5"
    config = Configuration()
    for key, value in options.items():
        config.set_string(key, value)
    return config


def build(settings: Settings, folder: Path) -> StreamExecutionEnvironment:
    """The topology. Its jar is written to `folder`, where Flink reads it when the job is handed over."""
    env = StreamExecutionEnvironment.get_execution_environment(configuration(settings))
    add_jar(env, folder)
    tables = StreamTableEnvironment.create(env)
    kafka, batch, job = settings.kafka, settings.batch, settings.job
    topics, events = kafka.topics, kafka.topics.event_topics
    refuse_large_topics(kafka)

    # Kafka -> shard -> batches of a few milliseconds, assembled in the JVM
    tables.execute_sql(events_table(kafka, settings.event.needs_keys))
    keys = shard_keys(batch.shards, MAX_PARALLELISM)
    shard = shard_expression(keys, batch.sharding, settings.event, events)
    further = further_columns(settings.event.needs_keys, events)
    rows = sharded_records(tables, shard, further, events)
    if batch.sharding == "entity":
        # Each source has records of all shards. Without this, each would make batches of all shards.
        rows = brought_together(rows)
    needs_heartbeats = settings.silence is not None or bool(settings.windows)  # time goes on when no event comes
    batches = gathered(rows, batch.window, 1 + len(further), keys if needs_heartbeats else [])

    # control messages and feedback, to every task
    messages = message_stream(tables, kafka).broadcast(CONTROL_STATE)

    # decode -> align -> context -> featurize -> detect -> calibrate -> decide -> alert
    scoring = Scoring(
        pipeline_of(settings).model_dump_json(),
        batch.shards,
        events,
        topics.feedback,
        job.name,
        batch.sharding == "partition",
    )
    score_batch = ScoreBatch(scoring, functools.partial(read_messages, kafka), functools.partial(read_alerts, kafka))
    alerts = batches.connect(messages).process(score_batch, MESSAGE).name("score").uid("score-batch")

    # incidents that open -> groups over all partitions
    notices = alerts.get_side_output(NOTICES)
    within = settings.decide.group_within
    if within:
        opened = alerts.get_side_output(OPENED).key_by(lambda _: 0, Types.INT())
        groups = opened.process(GroupIncidents(within, events.text, job.name), MESSAGE)
        notices = notices.union(groups.name("groups").uid("group-incidents").set_parallelism(1))

    # alerts and side outputs -> Kafka, keyed by entity
    sinks = tables.create_statement_set()
    streams: dict[str, DataStream] = {
        topics.alerts: alerts,
        topics.dead_letters: alerts.get_side_output(DEAD_LETTERS),
        topics.late: alerts.get_side_output(LATE),
        topics.notices: notices,
        topics.retrain_requests: alerts.get_side_output(REQUESTS),
    }
    if settings.output.scores != "none":
        streams[topics.scores] = alerts.get_side_output(SCORES)
    for topic, stream in streams.items():
        table = message_sink(tables, kafka, topic, job.delivery, job.checkpoint_milliseconds)
        sinks.add_insert(table, tables.from_data_stream(stream))
    sinks.attach_as_datastream()
    return env


def main(arguments: list[str] | None = None) -> int:
    """Build the job and hand it to the cluster."""
    parser = argparse.ArgumentParser(prog="detect_anomalies.py", description="Submit the detection job.")
    parser.add_argument("--settings", type=Path, help="settings file (default: flink-conf/detection.yaml)")
    chosen = parser.parse_args(arguments)
    try:
        settings = load(chosen.settings)
    except StreamgaugeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="streamgauge-") as folder:
        env = build(settings, Path(folder))
        execute_with_short_names(env, settings.job.name, settings.kafka.topics)
    return 0


if __name__ == "__main__":
    status = main()
    if status:
        sys.exit(status)
