"""The job that a user would write: PyFlink and River, record by record. Our job is compared with it.

It has a Kafka source, and keys by entity. For each entity, keyed state has rolling means and deviations, which give a z-score for each
field. River's half-space trees score the z-scores. There is a threshold, and a Kafka sink. `benchmarks.throughput` submits it.
"""

from __future__ import annotations

import argparse
import json
import math

from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.common.serialization import SimpleStringSchema
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from pyflink.datastream.functions import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueStateDescriptor

FIELDS = ("amount", "latency", "items", "balance")


class Detect(KeyedProcessFunction):
    """z-scores for each field of an entity, and half-space trees that score them."""

    def open(self, context: RuntimeContext) -> None:
        from river.anomaly import HalfSpaceTrees

        moments = Types.TUPLE([Types.LONG(), *[Types.DOUBLE()] * (2 * len(FIELDS))])
        self.moments = context.get_state(ValueStateDescriptor("moments", moments))
        self.trees = HalfSpaceTrees(n_trees=10, height=8, window_size=1000, seed=42)
        self.seen = context.get_metrics_group().counter("events")

    def process_element(self, event, ctx):
        self.seen.inc()
        n, *state = self.moments.value() or (0, *[0.0] * (2 * len(FIELDS)))
        means, squares = state[: len(FIELDS)], state[len(FIELDS) :]
        n += 1
        features, largest = {}, 0.0
        for i, name in enumerate(FIELDS):
            delta = event[name] - means[i]
            deviation = math.sqrt(squares[i] / (n - 1)) if n > 2 else 0.0
            z = delta / deviation if deviation else 0.0
            largest = max(largest, abs(z))
            features[name] = 0.5 + 0.5 * z / (abs(z) + 3.0)
            means[i] += delta / n
            squares[i] += delta * (event[name] - means[i])
        self.moments.update((n, *means, *squares))
        score = self.trees.score_one(features)
        self.trees.learn_one(features)
        if n > 30 and largest > 8.0 and score > 0.95:
            yield json.dumps({"entity": event["entity"], "z": largest, "score": score})


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "events", "alerts", "mode"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    config = Configuration()
    config.set_string("python.execution-mode", options.mode)
    config.set_string("pipeline.name", "per record")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    source = (
        KafkaSource.builder()
        .set_bootstrap_servers(options.bootstrap)
        .set_topics(options.events)
        .set_group_id(options.alerts)
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_value_only_deserializer(SimpleStringSchema())
        .build()
    )
    value = KafkaRecordSerializationSchema.builder().set_topic(options.alerts)
    value = value.set_value_serialization_schema(SimpleStringSchema()).build()
    sink = KafkaSink.builder().set_bootstrap_servers(options.bootstrap).set_record_serializer(value).build()
    events = env.from_source(source, WatermarkStrategy.no_watermarks(), "events").map(json.loads)
    alerts = events.key_by(lambda event: event["entity"]).process(Detect(), Types.STRING())
    alerts.sink_to(sink)
    env.execute_async("per record")


if __name__ == "__main__":
    main()
