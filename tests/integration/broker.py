"""A Kafka broker of a test's own, beside that of the cluster, with the listeners that the test wants."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streamgauge.jobs.cluster import local_cluster

START_SECONDS = 300
JAVA_OPTIONS = ("-Xms128m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
ALONE = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 1,
    "group.initial.rebalance.delay.ms": 0,
    "auto.create.topics.enable": "false",
}  # of a broker that is its own controller, and the only one


class Broker:
    """A broker process, which runs as soon as the object exists.

    Parameters
    ----------
    folder : Path
        For its data and its log.
    home : Path
        Home of a local cluster, with the jars.
    lines : mapping
        Properties of the broker. `listeners` must not name that of the controller.
    ports : sequence of int
        Ports that answer when it is ready.
    format_words : sequence of str
        Further arguments of the command that formats the folder of its data.
    """

    def __init__(
        self, folder: Path, home: Path, lines: Mapping[str, Any], ports: Sequence[int], format_words: Sequence[str] = ()
    ) -> None:
        [controller] = free_ports(1)
        own = {
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"{lines['listeners']},CONTROLLER://127.0.0.1:{controller}",
            "log.dirs": folder / "data",
        }
        config = folder / "kafka.properties"
        config.write_text("".join(f"{key}={value}\n" for key, value in {**ALONE, **lines, **own}.items()))
        classes = f"{local_cluster.jars(home) / 'kafka'}/*"
        base = [local_cluster.java(), *JAVA_OPTIONS, "-cp", classes, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        form = [*base, "kafka.tools.StorageTool", "format", "-t", uuid.uuid4().hex[:22], "-c", str(config)]
        subprocess.run([*form, *format_words], check=True, capture_output=True)
        self._log = folder / "broker.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*base, "kafka.Kafka", str(config)], stdout=log, stderr=subprocess.STDOUT, env=dict(os.environ)
            )
        self._wait(ports)

    def _wait(self, ports: Sequence[int]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if all(_listens(port) for port in ports):
                return
            time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"the broker does not answer: {self._log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """End the process."""
        end(self._process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server that a test started, and wait until it has ended."""
    process.terminate()
    try:
        process.wait(120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_ports(n: int) -> list[int]:
    """Ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(n)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
