"""The query: Kafka events in, alerts out."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql.streaming import StreamingQuery
from streamgauge.jobs.kafka.pipeline_settings import pipeline_of
from streamgauge.jobs.kafka.security import OF_KAFKA, java_properties
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.spark.score_partition import INPUT, OUTPUT, ScorePartition

STATE_STORE = "spark.sql.streaming.stateStore"
LOCAL = {  # of a Spark on this machine alone
    "spark.master": "local[*]",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
}
ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"


def session(settings: Settings, jars: list[Path], options: Mapping[str, str]) -> SparkSession:
    """A Spark session for the job.

    Parameters
    ----------
    settings : Settings
    jars : list of Path
        Jars of Spark's Kafka source.
    options : mapping
        Options of Spark that the user chose; they replace ours.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # Spark's Python processes need the same packages
    ours = {
        "spark.app.name": settings.job.name,
        "spark.jars": ",".join(map(str, jars)),
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": str(settings.batch.shards),
        f"{STATE_STORE}.providerClass": ROCKSDB,  # the only one that has maps
        f"{STATE_STORE}.rocksdb.changelogCheckpointing.enabled": "true",  # a micro-batch writes what it changed, not all
    }
    if options.get("spark.master", "local").startswith("local"):
        ours |= LOCAL
    builder = SparkSession.builder
    for key, value in {**ours, **options}.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def start(spark: SparkSession, settings: Settings, checkpoint: str, most: int, once: bool) -> StreamingQuery:
    """Start the query.

    Parameters
    ----------
    spark : SparkSession
    settings : Settings
    checkpoint : str
        Folder, or URL, of offsets and state.
    most : int
        Largest number of events in a micro-batch.
    once : bool
        Whether to end when all events that are on the topic now are scored.

    Raises
    ------
    ClusterError
        The broker does not answer, or has no topic of events.
    """
    kafka, job = settings.kafka, settings.job.name
    topics = {"events": kafka.topics.event_topics.first, **kafka.topics.own}
    score = ScorePartition(pipeline_of(settings).model_dump_json(), topics, job)
    records = spark.readStream.format("kafka").options(**_source(kafka, most)).load().selectExpr(*INPUT)
    messages = records.groupBy("partition").transformWithStateInPandas(score, OUTPUT, "Append", "None")
    writer = messages.writeStream.format("kafka").options(**_clients(kafka)).queryName(job).outputMode("append")
    writer = writer.option("checkpointLocation", checkpoint)
    return (writer.trigger(availableNow=True) if once else writer).start()


def _source(kafka: KafkaSettings, most: int) -> dict[str, str]:
    return {
        "subscribe": kafka.topics.event_topics.first,
        "startingOffsets": kafka.start,
        "maxOffsetsPerTrigger": str(most),
        "groupIdPrefix": kafka.group,
        "kafka.isolation.level": "read_committed",  # what a producer took back was never sent
        **_clients(kafka),
    }


def _clients(kafka: KafkaSettings) -> dict[str, str]:
    """Options of Spark's Kafka clients."""
    chosen = java_properties(kafka.security, OF_KAFKA) | kafka.properties
    return {"kafka.bootstrap.servers": kafka.bootstrap, **{f"kafka.{key}": value for key, value in chosen.items()}}
