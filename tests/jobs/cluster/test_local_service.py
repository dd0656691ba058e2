"""The service beside the local cluster: it is one of the cluster's processes, but the cluster does not need it."""

from __future__ import annotations

import os
import socket
import urllib.request

import psutil
import pytest
from streamgauge.jobs.cluster import local_cluster, local_service
from streamgauge.jobs.cluster.local_cluster import SERVICE, Cluster, Process
from streamgauge.models.errors import ClusterError


@pytest.fixture
def cluster(tmp_path):
    """A local cluster of which only this process runs, in place of a broker."""
    (tmp_path / "logs").mkdir()
    me = Process("jobmanager", os.getpid(), psutil.Process().create_time())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        made = Cluster(tmp_path, {"kafka": free.getsockname()[1], "flink": 1}, [me])
    made.save()
    yield made
    local_service.stop(made)


@pytest.fixture
def settings(cluster):
    file = cluster.home / "settings.yaml"
    file.write_text(
        f"kafka: {{bootstrap: '{cluster.bootstrap}'}}\nservice: {{database: 'sqlite:///{cluster.home}/h.db'}}\n"
    )
    return file


def test_it_shows_the_page_and_is_among_the_known_processes_until_it_is_stopped(cluster, settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = local_service.start(cluster, settings, taken.getsockname()[1])
        assert not address.endswith(f":{taken.getsockname()[1]}")
    local_service.wait(cluster, address)
    with urllib.request.urlopen(address, timeout=30) as page:
        assert "open incidents" in page.read().decode()
    rows = {row["role"]: row["alive"] for row in local_cluster.status(cluster.home)["processes"]}
    assert rows == {"jobmanager": True, SERVICE: True}
    [process] = cluster.roles(SERVICE)
    again = local_service.start(cluster, settings, 0)
    assert process.running() is None
    [process] = cluster.roles(SERVICE)
    assert again != address
    local_service.stop(cluster)
    assert process.running() is None
    assert [p.role for p in Cluster.load(cluster.home).processes] == ["jobmanager"]


def test_the_cluster_runs_without_it(cluster):
    cluster.processes.append(Process(SERVICE, 2**22 + 1, 0.0))
    cluster.save()
    assert local_cluster.running_cluster(cluster.home).dead() == []
    assert local_cluster.status(cluster.home)["running"]


def test_why_it_died_is_said(cluster):
    wrong = cluster.home / "wrong.yaml"
    wrong.write_text("service: {prot: 1}\n")
    address = local_service.start(cluster, wrong, 0)
    with pytest.raises(ClusterError, match=r"service died while starting: .*service\.prot"):
        local_service.wait(cluster, address)
