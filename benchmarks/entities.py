"""The cost of an entity: microseconds for an event, and bytes of state, with 1,000 to 1,000,000 entities in the running job.

A topic is filled so that every entity comes equally often. The job first gets each entity once; then its rate is measured. The warm-up is
one event, so that every detector scores every entity, as it would after some hours. The size of the whole state is that of the newest
checkpoint. The state of one entity, and the size of the saved log for each entity, are measured in this process on the same events.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.submit import submit
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.settings.pipeline import PipelineSettings

from benchmarks.common import cluster, finish, load, payloads, say, settings_for

SIZES = (1_000, 10_000, 100_000, 1_000_000)
BATCH = 2_000
MET, MEASURED = 1_000_000, 2_000_000  # events before the measurement, and in it
SCORED_AT_ONCE = {"featurize": {"warmup": 1}, "detectors": {"rolling_z_score": {"warmup": 1}}}


def bytes_per_entity(entities: int) -> tuple[float, float]:
    """Bytes of an entity's state, and bytes of the saved log for each entity. The log also has rows that were replaced."""
    _, values = payloads(entities, entities)
    shard, saved = Shard(PipelineSettings()), {}
    for start in range(0, 2 * entities, BATCH):
        part = values[start % entities : start % entities + BATCH]
        n = len(part)
        result = shard.process(
            RawBatch(part, np.zeros(n, np.int64), np.arange(start, start + n), np.full(n, 1_760_000_000_000) + start)
        )
        for key in result.deletes:
            saved.pop(key, None)
        saved |= {key: len(value) for key, value in result.writes.items()}
    log = sum(size for key, size in saved.items() if key.startswith("0/e"))
    return len(shard.partitions[0].stages.entities.store.canonical()) / entities, log / entities


def measure(running, entities: int) -> dict[str, float]:  # type: ignore[no-untyped-def]
    settings, file = settings_for(running, f"entities-{entities}", kafka={"start": "earliest"}, **SCORED_AT_ONCE)
    total = max(entities, MET) + MEASURED
    with load(running.bootstrap, settings.kafka.topics.events, count=total, entities=entities) as process:
        process.wait(600)
    rest = FlinkRest(running.jobmanager)
    job = submit(settings, file, jobmanager=running.jobmanager)
    try:
        while rest.operator_counter(job, "events") < total - MEASURED:
            time.sleep(0.25)
        before, began = rest.operator_counter(job, "events"), time.monotonic()
        while (now := rest.operator_counter(job, "events")) < total * 0.95:
            time.sleep(0.25)
        us = (time.monotonic() - began) / (now - before) * 1e6
        seen = rest.call(f"/jobs/{job}/checkpoints")["counts"]["completed"]
        while rest.call(f"/jobs/{job}/checkpoints")["counts"]["completed"] < seen + 2:
            time.sleep(0.5)
        newest = rest.call(f"/jobs/{job}/checkpoints")["latest"]["completed"]
        longest = rest.call(f"/jobs/{job}/checkpoints")["summary"]["end_to_end_duration"]["max"]
    finally:
        rest.cancel(job)
        file.unlink(missing_ok=True)
    own, log = bytes_per_entity(entities)
    run = {
        "entities": entities,
        "us_per_event": us,
        "bytes_per_entity": own,
        "log_bytes_per_entity": log,
        "checkpoint_s": longest / 1000,
        "checkpoint_mb": newest["state_size"] / 2**20,
    }
    say(", ".join(f"{name} {value:.1f}" for name, value in run.items()))
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    options = parser.parse_args()
    with cluster() as running:
        measure(running, options.sizes[0])  # a warm-up of the cluster, which does not count
        runs = [measure(running, entities) for entities in options.sizes]
        settings, file = settings_for(running, "entities")
        file.unlink()
    finish({"runs": runs, "ratio_largest_to_smallest": runs[-1]["us_per_event"] / runs[0]["us_per_event"]}, settings)


if __name__ == "__main__":
    main()
