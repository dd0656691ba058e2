"""A real cluster for all integration tests of a process: Kafka, a JobManager and two TaskManagers on free ports.

Two processes run the tests (see `make integration`), because most tests wait for Flink for most of their time.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamgauge.jobs.cluster import local_cluster
from streamgauge.jobs.cluster.home import writable
from streamgauge.jobs.cluster.local_cluster import PORTS, Cluster

from tests.integration.live import close_all
from tests.integration.secured_broker import PASSWORD, VARIABLE


def free_ports() -> dict[str, int]:
    """Free ports. Prometheus needs consecutive ones, one for each Flink process, so each process of tests has a range of its own."""
    sockets = []
    for _ in PORTS:
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        sockets.append(s)
    ports = dict(zip(PORTS, (s.getsockname()[1] for s in sockets), strict=True))
    for s in sockets:
        s.close()
    first = 20_000 + 4_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports["prometheus"] = next(
        p for p in range(first, first + 4_000, 20) if not any(local_cluster.port_in_use(p + i) for i in range(20))
    )
    return ports


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home: Path = tmp_path_factory.mktemp("cluster")
    shared = writable(None)
    with (shared / "lock").open("w") as lock:  # only one of the processes downloads
        fcntl.flock(lock, fcntl.LOCK_EX)
        local_cluster.jars(shared)
    (shared / "numba").mkdir(exist_ok=True)
    for folder in ("jars", "numba"):  # downloading and compiling take long, so the results are kept for the next run
        (home / folder).symlink_to(shared / folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMGAUGE_HOME", str(home))
        # Flink's processes live for minutes here. Most of what Java's second compiler optimises is never used again.
        patch.setenv("JVM_ARGS", "-XX:TieredStopAtLevel=1")
        patch.setenv(VARIABLE, PASSWORD)  # Flink's processes need it from their start
        try:
            yield local_cluster.up(2, free_ports(), home)
        finally:
            close_all()
            local_cluster.down(home)
