"""The SQL side of the job: Kafka sources and sinks, and the shard of each record."""

from __future__ import annotations

from typing import Any

from pyflink.datastream.data_stream import DataStream
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment
from streamgauge.jobs.cluster.entity_sql import entity_sql, quoted
from streamgauge.jobs.kafka.security import java_properties
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.udfs.flink.scoring import PARTITIONS, POSITIONS
from streamgauge.udfs.settings.event import EventSettings
from streamgauge.udfs.settings.topics import EventTopics

STARTS = {"earliest": "earliest-offset", "latest": "latest-offset", "committed": "group-offsets"}


def _options(options: dict[str, str]) -> str:
    return ",\n  ".join(f"{quoted(key)} = {quoted(value)}" for key, value in options.items())


def _further(kafka: KafkaSettings) -> dict[str, str]:
    """Kafka properties that the user chose. They are part of the job, so no secret is in them."""
    return {f"properties.{key}": value for key, value in (java_properties(kafka.security) | kafka.properties).items()}


def _source(kafka: KafkaSettings, topics: EventTopics, start: str, group: str) -> dict[str, str]:
    chosen = {"topic-pattern": topics.pattern} if topics.pattern else {"topic": ";".join(topics.names)}
    return {
        "connector": "kafka",
        **chosen,
        "properties.bootstrap.servers": kafka.bootstrap,
        "properties.group.id": group,
        "properties.fetch.max.wait.ms": "5",  # low latency, for a few more requests
        "properties.isolation.level": "read_committed",  # what a producer took back was never sent
        "scan.topic-partition-discovery.interval": "10 s",  # it replaces the property partition.discovery.interval.ms
        "scan.startup.mode": start,
        **({"properties.auto.offset.reset": "earliest"} if start == STARTS["committed"] else {}),
        "format": "raw",
        **_further(kafka),
    }


def events_table(kafka: KafkaSettings, keys: bool = False) -> str:
    """DDL of the raw events: payload, partition, offset, Kafka's timestamp; the key and the topic, if they are needed."""
    topics = kafka.topics.event_topics
    options = _source(kafka, topics, STARTS[kafka.start], kafka.group)
    if keys:
        del options["format"]
        options |= {"value.format": "raw", "key.format": "raw", "key.fields": "record_key"}
        options["value.fields-include"] = "EXCEPT_KEY"
    return f"""CREATE TABLE event_records (
  {"record_key BYTES," if keys else ""}
  {"topic STRING METADATA VIRTUAL," if topics.several else ""}
  payload BYTES,
  `partition` INT METADATA VIRTUAL,
  `offset` BIGINT METADATA VIRTUAL,
  stamp TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL
) WITH (
  {_options(options)}
)"""


def messages_table(kafka: KafkaSettings, name: str, topic: str) -> str:
    """DDL of a topic with messages to the job. It is read from the beginning."""
    return f"""CREATE TABLE {name} (
  payload STRING,
  `offset` BIGINT METADATA VIRTUAL
) WITH (
  {_options(_source(kafka, EventTopics((topic,)), STARTS["earliest"], f"{kafka.group}-{name}"))}
)"""


def message_stream(tables: StreamTableEnvironment, kafka: KafkaSettings) -> DataStream:
    """Control messages and feedback: text, offset, topic."""
    queries = []
    for name, topic in (("control", kafka.topics.control), ("feedback", kafka.topics.feedback)):
        tables.execute_sql(messages_table(kafka, name, topic))
        queries.append(f"SELECT payload, `offset`, {quoted(topic)} AS topic FROM {name}")
    return tables.to_data_stream(tables.sql_query(" UNION ALL ".join(queries)))


def shard_keys(shards: int, max_parallelism: int) -> list[int]:
    """One integer key for each shard, chosen so that all tasks get an equal number of shards.

    Flink hashes keys into key groups, and few integer keys spread unevenly. The key groups are divided into bands of equal size, and
    shard i gets a key that falls into band i, both as a row of the DataStream API and as a binary row of SQL. Shard 0 has the same key
    for any number of shards. So a state that was saved with another number of shards is found and refused.
    """
    jvm: Any = get_gateway().jvm
    assign = jvm.org.apache.flink.runtime.state.KeyGroupRangeAssignment.assignToKeyGroup
    binary = jvm.org.apache.flink.table.data.binary.BinaryRowData(1)
    writer = jvm.org.apache.flink.table.data.writer.BinaryRowWriter(binary)
    keys: list[int] = []
    candidate = 0
    while len(keys) < shards:
        candidate += 1
        writer.reset()
        writer.writeInt(0, candidate)
        writer.complete()
        row = jvm.org.apache.flink.types.Row(1)
        row.setField(0, candidate)
        groups = [assign(key, max_parallelism) for key in (row, binary)]
        if keys:
            fits = all(group * shards // max_parallelism == len(keys) for group in groups)
        else:  # in the first band for any number of up to 32 shards
            fits = groups[0] * 32 < max_parallelism and groups[1] * 8 < max_parallelism
        if fits:
            keys.append(candidate)
    return keys


def shard_expression(keys: list[int], sharding: str, event: EventSettings, topics: EventTopics) -> str:
    """SQL expression for the shard key of a record.

    The partitions of the first topic are spread by their numbers, as if it were the only one, so that topics can be added to a job with
    saved state. The other topics begin at shards that follow from their names, so that topics of one partition are spread, too.
    """
    array = f"ARRAY[{', '.join(map(str, keys))}]"
    number = "`partition`"
    if topics.several:
        begin = f"ABS(MOD(HASH_CODE(topic), {len(keys)}))"
        if topics.first:
            begin = f"CASE WHEN topic = {quoted(topics.first)} THEN 0 ELSE {begin} END"
        number = f"({begin} + `partition`)"
    if sharding == "entity":
        # a record without an entity is assigned by its partition; it becomes a dead letter
        hashed = f"HASH_CODE({entity_sql(event, 'CAST(payload AS STRING)', 'CAST(record_key AS STRING)')})"
        number = f"ABS(MOD(COALESCE({hashed}, `partition`), {len(keys)}))"
    return f"{array}[MOD({number}, {len(keys)}) + 1]"


def _numbered(topics: EventTopics) -> str:
    """SQL expression for the partition of a record; with several names, it says which topic it is of."""
    if len(topics.names) < 2:
        return "`partition`"
    cases = (f"WHEN {quoted(name)} THEN {k * PARTITIONS}" for k, name in enumerate(topics.names))
    return f"CASE topic {' '.join(cases)} END + `partition`"


def further_columns(keys: bool, topics: EventTopics) -> list[str]:
    """Columns of bytes besides the payload: the key, if it is needed, and the topic, if the topics are given by a pattern."""
    return ["record_key"] * keys + ["topic_name"] * bool(topics.pattern)


def sharded_records(
    tables: StreamTableEnvironment, shard: str, further: list[str], topics: EventTopics | None = None
) -> DataStream:
    """The records of the table `event_records`: shard, position, timestamp, payload, further columns.

    Parameters
    ----------
    tables : StreamTableEnvironment
    shard : str
        SQL expression for the shard key.
    further : list of str
        See `further_columns`.
    topics : EventTopics, optional
    """
    columns = "".join(f", {name}" for name in further).replace("topic_name", "CAST(topic AS BYTES) AS topic_name")
    query = f"""SELECT {shard} AS shard, `offset` * CAST({POSITIONS} AS BIGINT) + {_numbered(topics or EventTopics())} AS `position`,
  TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', CAST(stamp AS TIMESTAMP(3))) * CAST(1000 AS BIGINT)
    + EXTRACT(MILLISECOND FROM stamp) AS stamp,
  payload{columns}
FROM event_records"""
    return tables.to_data_stream(tables.sql_query(query))


def message_sink(
    tables: StreamTableEnvironment, kafka: KafkaSettings, topic: str, delivery: str, checkpoint_interval: int
) -> str:
    """Create the sink of a topic with keyed messages. Returns the name of its table."""
    name = f"`sink {topic}`"
    options = {
        "connector": "kafka",
        "topic": topic,
        "properties.bootstrap.servers": kafka.bootstrap,
        "properties.linger.ms": "0",
        "key.format": "raw",
        "key.fields": "key",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
        "sink.delivery-guarantee": delivery.replace("_", "-"),
        **_further(kafka),
    }
    if delivery == "exactly_once":
        # longer than any checkpoint may take, and no longer than a broker allows by default (15 min)
        options["properties.transaction.timeout.ms"] = str(max(600_000, 2 * checkpoint_interval))
        # No name of a topic has a colon. So no other group and topic make the same prefix, or one that begins with this.
        options["sink.transactional-id-prefix"] = f"{kafka.group}:{topic}:"
    tables.execute_sql(f"CREATE TABLE {name} (`key` STRING, `value` STRING) WITH (\n  {_options(options)}\n)")
    return name
