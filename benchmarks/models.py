"""Events a second, from Kafka to Kafka: with a trained model beside the default ensemble, and with events of 512 fields.

There are three runs: the default ensemble; the same with a live autoencoder, which was trained on events of the load; and the default
ensemble on events with 512 fields.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import msgspec
import numpy as np
from streamgauge.jobs.cluster.local_cluster import Cluster
from streamgauge.jobs.studies.train import train
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past

from benchmarks.common import FIELDS, cluster, finish, load, payloads, say, settings_for
from benchmarks.throughput import ENTITIES, in_process, ours


def autoencoder(folder: str) -> dict[str, Any]:
    """Settings with a live autoencoder that was trained on events of the load."""
    keys, values = payloads(20_000, ENTITIES)
    events = [msgspec.json.decode(value) for value in values]
    X = np.array([[event[name] for name in FIELDS] for event in events])
    groups = np.unique(np.array(keys), return_inverse=True)[1].astype(np.int64)
    registry = Registry(folder)
    manifest = train(
        registry, "load", "autoencoder", Past(X, list(FIELDS), groups, source="benchmarks.common.payloads")
    )
    registry.point("load", "live", manifest.version)
    return {"registry": folder, "use": {"load": {}}}


def measured(running: Cluster, name: str, count: int, fields: int = 4, **sections: Any) -> dict[str, float]:
    """Rates in the job and in this process, in events a second."""
    settings, file = settings_for(running, name, kafka={"start": "earliest"}, **sections)
    say(f"{name}: filling the topic with {count} events")
    with load(
        running.bootstrap, settings.kafka.topics.events, count=count, entities=ENTITIES, fields=fields
    ) as process:
        process.wait(600)
    rates = {"events_per_s": ours(running, settings, file, count)}
    file.unlink()
    few = 600_000 if fields <= 16 else 40_000
    rates["in_process_events_per_s"] = in_process(settings, few, 2000, fields)
    say(f"{name}: {rates['events_per_s']:.0f} events/s, in process {rates['in_process_events_per_s']:.0f}")
    return rates


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder, cluster() as running:
        models = autoencoder(folder)
        figures = {
            "default": measured(running, "default", 6_000_000),
            "with_autoencoder": measured(running, "autoencoder", 4_000_000, models=models),
            "512_fields": measured(running, "wide", 300_000, 512),
        }
    finish(figures)


if __name__ == "__main__":
    main()
