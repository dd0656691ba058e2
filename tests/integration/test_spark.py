"""The job in Spark, on a real Kafka broker: it writes what the pipeline in this process writes, and so what the Flink job writes.

Spark runs in an environment of its own, which `make spark` makes.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamgauge.jobs.cluster.home import writable
from streamgauge.jobs.cluster.local_cluster import Cluster

from tests.integration.broker import Broker, free_ports
from tests.integration.live import PATIENCE, Live, close_all, events, values

PYTHON = Path(os.environ.get("SPARK_PYTHON") or Path(__file__).parents[2] / ".venv-spark" / "bin" / "python")
ALONE = {
    "spark.master": "local[2]",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
}
MOST = 400  # events in a micro-batch

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="Spark is not installed: `make spark` installs it")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A broker without Flink."""
    [port] = free_ports(1)
    folder = tmp_path_factory.mktemp("broker")
    lines = {"listeners": f"PLAINTEXT://127.0.0.1:{port}"}
    broker = Broker(folder, writable(None), lines, [port])
    try:
        yield Cluster(folder, {"kafka": port, "flink": port})
    finally:
        close_all()
        broker.stop()


def run_spark(live: Live, checkpoint: Path) -> None:
    """Let Spark score all events that are on the topic, and end."""
    command = [PYTHON, "-m", "streamgauge.jobs.spark", "--settings", live.file, "--checkpoint", checkpoint, "--once"]
    command += ["--most", MOST, *(word for key, value in ALONE.items() for word in ("--conf", f"{key}={value}"))]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr[-6000:]


def test_two_runs_of_several_micro_batches_equal_the_pipeline_in_process(broker, tmp_path):
    live = Live(broker, tmp_path, decide={"group_within": 0})
    checkpoint = tmp_path / "checkpoint"
    mixed = [*events(1500), ("e1", b"{broken"), ("e2", None), *events(500, seed=1)]
    live.send(mixed[:1000])
    run_spark(live, checkpoint)
    half = values(live.read(live.topics.scores))
    live.send(mixed[1000:])
    run_spark(live, checkpoint)
    expected = live.expected()
    assert 0 < len(half) < len(expected.scores) == 2000
    assert len({r.partition for r in live.read(live.topics.events)}) > 1
    assert values(live.read(live.topics.scores)) == expected.scores
    assert values(live.read(live.topics.alerts)) == expected.alerts
    assert values(live.read(live.topics.dead_letters)) == expected.dead
    assert len(expected.dead) == 1
    assert {json.loads(alert)["data"]["state"] for alert in expected.alerts} >= {"opened", "resolved"}
    assert len(list((checkpoint / "commits").glob("[0-9]*"))) >= 5
