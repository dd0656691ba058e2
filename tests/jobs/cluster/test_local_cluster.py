"""Messages of the local cluster. The integration tests start a real one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import psutil
import pytest
from streamgauge.jobs.cluster import local_cluster
from streamgauge.jobs.cluster.local_cluster import Cluster, Process
from streamgauge.models.errors import ClusterError


def fake_java(tmp_path, monkeypatch, version):
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "java"
    script.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    script.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))


def test_a_missing_java_is_named_with_what_to_install(monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ClusterError, match="apt install openjdk-17"):
        local_cluster.java()


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_302"])
def test_an_old_java_is_named(tmp_path, monkeypatch, version):
    fake_java(tmp_path, monkeypatch, version)
    with pytest.raises(ClusterError, match=f"version {version}; .*need 17"):
        local_cluster.java()


@pytest.mark.parametrize("version", ["17.0.15", "21.0.1"])
def test_a_newer_java_is_accepted(tmp_path, monkeypatch, version):
    fake_java(tmp_path, monkeypatch, version)
    assert local_cluster.java() == str(tmp_path / "bin" / "java")


def test_a_port_in_use_is_named_with_who_uses_it(tmp_path):
    (tmp_path / "jars" / "flink").mkdir(parents=True)
    (tmp_path / "jars" / "kafka").mkdir()
    (tmp_path / "jars" / "flink" / "flink-sql-connector-kafka-1.jar").touch()
    (tmp_path / "jars" / "kafka" / "kafka_1.jar").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=rf"port {port} \(kafka\) is used by .*process {os.getpid()}"):
            local_cluster.up(ports={"kafka": port}, home=tmp_path)
    assert not (tmp_path / "cluster.json").exists()


def test_missing_jars_without_maven_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ClusterError, match="apt install maven"):
        local_cluster.jars(tmp_path)


def test_down_stops_its_own_processes_and_no_other(tmp_path):
    mine, other = (subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) for _ in range(2))
    reused = Process("kafka", other.pid, psutil.Process(other.pid).create_time() - 100)
    cluster = Cluster(
        tmp_path, {}, [Process("taskmanager-0", mine.pid, psutil.Process(mine.pid).create_time()), reused]
    )
    cluster.save()
    try:
        assert local_cluster.down(tmp_path) == ["taskmanager-0"]
        assert mine.poll() is not None or not psutil.pid_exists(mine.pid)
        assert other.poll() is None
        assert local_cluster.down(tmp_path) == []
    finally:
        other.kill()
        other.wait()


def test_a_dead_process_is_named(tmp_path):
    Cluster(tmp_path, {"kafka": 1}, [Process("jobmanager", 2**22 + 1, 0.0)]).save()
    with pytest.raises(ClusterError, match=r"jobmanager died.*streamgauge down"):
        local_cluster.running_cluster(tmp_path)


def test_a_missing_cluster_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(ClusterError, match="streamgauge up"):
        local_cluster.running_cluster(tmp_path)


def test_a_damaged_list_of_processes_is_named(tmp_path):
    (tmp_path / "cluster.json").write_text("{")
    with pytest.raises(ClusterError, match="damaged"):
        Cluster.load(tmp_path)
