"""The job in Spark, on a real Kafka broker: it writes what the pipeline in this process writes, and so what the Flink job writes.

Spark runs in an environment of its own, which `make spark` makes.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from streamgauge.jobs.cluster.home import writable
from streamgauge.jobs.cluster.local_cluster import Cluster

from tests.integration.live import PATIENCE, Live, close_all, events, values
from tests.integration.secured_broker import ADMIN, PASSWORD, SecuredBroker

PYTHON = Path(os.environ.get("SPARK_PYTHON") or Path(__file__).parents[2] / ".venv-spark" / "bin" / "python")
# one Python process at a time, because each loads the numerical libraries
OPTIONS = {"spark.master": "local[1]", "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1"}
MOST = 400  # events in a micro-batch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="Spark is not installed: `make spark` installs it"),
]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """A broker that asks for a password, without Flink."""
    running = SecuredBroker(tmp_path_factory.mktemp("broker"), writable(None), {ADMIN: PASSWORD})
    try:
        yield running
    finally:
        close_all()
        running.stop()


class SparkJob:
    """The job in Spark, which keeps its checkpoint in a folder."""

    def __init__(self, live: Live, folder: Path) -> None:
        self.checkpoint, self._log = folder / "checkpoint", folder / "spark.log"
        command = [PYTHON, "-m", "streamgauge.jobs.spark", "--settings", live.file, "--checkpoint", self.checkpoint]
        command += ["--most", MOST, *(word for key, value in OPTIONS.items() for word in ("--conf", f"{key}={value}"))]
        self._command = list(map(str, command))

    def score_all(self) -> None:
        """Score all events that are on the topic, and end."""
        with self._log.open("w") as log:
            done = subprocess.run(
                [*self._command, "--once"], stdout=log, stderr=subprocess.STDOUT, check=False, timeout=PATIENCE
            )
        assert done.returncode == 0, self.said()

    @contextmanager
    def running(self) -> Iterator[None]:
        """The job runs until the end of the block. Then all its processes are killed."""
        with (
            self._log.open("w") as log,
            subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT) as started,
        ):
            process = psutil.Process(started.pid)
            try:
                yield
                assert started.poll() is None, self.said()
            finally:
                with suppress(psutil.NoSuchProcess):
                    for one in [*process.children(recursive=True), process]:
                        one.kill()

    def said(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-6000:]

    @property
    def micro_batches(self) -> int:
        """How many micro-batches are complete."""
        return len(list((self.checkpoint / "commits").glob("[0-9]*")))


def test_the_job_in_spark_equals_the_pipeline_in_process(broker, tmp_path):
    kafka = {"bootstrap": broker.passwords_at, "security": broker.security(ADMIN)}
    without_flink = Cluster(tmp_path, {"kafka": 0, "flink": 0})
    live = Live(without_flink, tmp_path, kafka=kafka, decide={"group_within": 0})
    topics, job = live.topics, SparkJob(live, tmp_path)
    # first few entities, then many: Spark 4.0.1 could not save parts of the state that are large
    mixed = [*events(900), ("e1", b"{broken"), *events(1500, entities=3000, seed=1)]

    live.send(mixed[:1000])
    job.score_all()
    expected = live.expected()
    assert values(live.read(topics.scores)) == expected.scores
    assert values(live.read(topics.alerts)) == expected.alerts
    assert values(live.read(topics.dead_letters)) == expected.dead
    assert len({record.partition for record in live.read(topics.events)}) > 1
    assert len(expected.dead) == 1
    assert job.micro_batches >= 3

    # from the checkpoint on, and killed while it scores
    live.send(mixed[1000:])
    with job.running():
        live.more(topics.scores)
    # from the checkpoint once more: what was written in the micro-batch that the kill ended may come again, with the same bytes
    job.score_all()
    expected = live.expected()
    assert len(expected.scores) == 2400
    assert sorted(set(values(live.read(topics.scores)))) == expected.scores
    assert sorted(set(values(live.read(topics.alerts)))) == expected.alerts
    assert {json.loads(alert)["data"]["state"] for alert in expected.alerts} >= {"opened", "resolved"}
