"""The disk, the network or the clock fails for a while. The job recovers by itself, and its alerts are those of an undisturbed run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from streamgauge.jobs.cluster import local_cluster
from streamgauge.jobs.settings.loading import as_file, load

from tests.integration.broker import Broker, free_ports
from tests.integration.clock import Clock
from tests.integration.kills import kill, stop
from tests.integration.live import PATIENCE, Live, events, under_load, values
from tests.integration.proxy import Proxy

pytestmark = pytest.mark.slow
CUT = float(os.environ.get("CUT", "20"))  # seconds for which the network is cut
RATE = 200.0
SECOND, HOUR = 1_000, 3_600_000
EXACTLY = {"delivery": "exactly_once"}


def wait_for_checkpoints(live: Live, job: str, what: str, n: int) -> None:
    """Wait until `n` more checkpoints are complete, or have failed."""
    counts = live.rest.call(f"/jobs/{job}/checkpoints")["counts"]
    deadline = time.monotonic() + PATIENCE
    while live.rest.call(f"/jobs/{job}/checkpoints")["counts"][what] < counts[what] + n:
        assert time.monotonic() < deadline, f"there are no {n} more checkpoints that are {what}"
        time.sleep(0.2)


def assert_alerts_are_undisturbed(live: Live) -> None:
    """Wait for all alerts that an undisturbed pipeline gives for the events on the topic, and compare."""
    expected = live.expected()
    assert values(live.at_least(live.topics.alerts, len(expected.alerts))) == expected.alerts
    assert len(expected.alerts) > 20


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A folder on a disk of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "streamgauge-test", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write to a file until its disk is full."""
    with file.open("wb", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(bytes(65_536))


def test_a_full_disk_under_the_checkpoints_stops_no_job_for_longer_than_it_is_full(cluster, tmp_path, small_disk):
    live = Live(cluster, tmp_path, job=EXACTLY)
    ballast = small_disk / "ballast"
    with live.job(options=(f"-Dexecution.checkpointing.dir={(small_disk / 'checkpoints').as_uri()}",)) as job:
        with under_load(live, RATE):
            live.at_least(live.topics.alerts, 10)
            fill(ballast)
            wait_for_checkpoints(live, job, "failed", 3)
            ballast.unlink()
            live.rest.wait_running(job, PATIENCE)
            wait_for_checkpoints(live, job, "completed", 2)
        assert_alerts_are_undisturbed(live)


@pytest.fixture
def proxied(cluster, tmp_path) -> Iterator[tuple[Proxy, str]]:
    """A proxy to a broker, and the broker's own address. Who begins at the proxy is told the address of the proxy, and no other."""
    direct, behind = free_ports(2)
    proxy = Proxy(behind)
    lines = {
        "listeners": f"DIRECT://127.0.0.1:{direct},PROXIED://127.0.0.1:{behind}",
        "advertised.listeners": f"DIRECT://127.0.0.1:{direct},PROXIED://{proxy.address}",
        "listener.security.protocol.map": "DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "DIRECT",
    }
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(folder, cluster.home, lines, (direct, behind))
    yield proxy, f"127.0.0.1:{direct}"
    proxy.stop()
    broker.stop()


def test_a_slow_broker_and_a_cut_network_are_survived_without_help(cluster, tmp_path, proxied):
    proxy, direct = proxied
    live = Live(cluster, tmp_path, job=EXACTLY, kafka={"bootstrap": direct})
    file = tmp_path / "proxied.yaml"
    file.write_text(as_file(live.settings, {"kafka": {"bootstrap": proxy.address}}))
    settings = load(file, {})
    with live.job(settings, file) as job:
        with under_load(live, RATE):
            live.at_least(live.topics.alerts, 10)
            proxy.delay = 0.1
            live.more(live.topics.alerts, 10)  # late, but they come
            proxy.delay = 0.0
            proxy.passes.clear()
            time.sleep(CUT)
            proxy.passes.set()
            live.rest.wait_running(job, PATIENCE)
            live.more(live.topics.alerts, 10)
        assert_alerts_are_undisturbed(live)


def test_clocks_of_producers_that_step_forward_and_back_change_no_alert(cluster, tmp_path):
    live = Live(cluster, tmp_path, job=EXACTLY)
    steps = (0, HOUR, -HOUR, 0)
    with live.job():
        for n, (key, event) in enumerate(events(4_000)):
            stamp = int(time.time() * 1000) + steps[n // 1_000]
            live.producer.send(live.topics.events, json.dumps(event).encode(), key.encode(), timestamp_ms=stamp)
        live.producer.flush(PATIENCE)
        assert_alerts_are_undisturbed(live)


@pytest.fixture
def clock(cluster, tmp_path, monkeypatch) -> Iterator[Clock]:
    """The clock of the only TaskManager, so of that of the next job."""
    clock = Clock(tmp_path)
    for process in cluster.roles("taskmanager"):
        stop(cluster, process)
    with monkeypatch.context() as patch:
        for name, value in clock.environment.items():
            patch.setenv(name, value)
        wrong = local_cluster.add_taskmanager(cluster)
    yield clock
    stop(cluster, wrong)
    for _ in range(2 - len(cluster.roles("taskmanager"))):
        local_cluster.add_taskmanager(cluster, wait=False)


@pytest.mark.parametrize("step", [HOUR, -HOUR, -2 * SECOND])
def test_a_clock_of_the_taskmanager_that_steps_loses_no_event(cluster, tmp_path, clock, step):
    live = Live(cluster, tmp_path, job=EXACTLY)
    with live.job() as job:
        # After a step forward, requests to Kafka may time out, and Flink may end the TaskManager for that. Then another takes the job.
        local_cluster.add_taskmanager(cluster)
        with under_load(live, RATE):
            live.at_least(live.topics.alerts, 10)
            clock.step(step)
            wait_for_checkpoints(live, job, "completed", 6)
            live.more(live.topics.alerts, 10)
        assert_alerts_are_undisturbed(live)
        expected = live.expected().scores
        assert values(live.at_least(live.topics.scores, len(expected))) == expected


def test_metrics_go_on_after_a_taskmanager_dies_while_it_is_asked_for_them(cluster):
    """Flink asks no TaskManager again before all have answered, or `web.timeout` has passed."""

    def cpu_time():
        asked = f"/taskmanagers/{survivor}/metrics?get=Status.JVM.CPU.Time"
        return [metric["value"] for metric in cluster.rest.call(asked)]

    def until(what):
        deadline = time.monotonic() + PATIENCE
        while not what():
            assert time.monotonic() < deadline, "the metrics stay as they are"
            time.sleep(0.5)

    # two of its own: tests before may have left one that Flink does not know any more
    asked, victim = local_cluster.add_taskmanager(cluster), local_cluster.add_taskmanager(cluster)
    try:
        found = [tm["id"] for tm in cluster.rest.call("/taskmanagers")["taskmanagers"]]
        [survivor] = [name for name in found if name.startswith(f"{asked.role}-")]
        until(cpu_time)
        os.kill(victim.pid, signal.SIGSTOP)
        time.sleep(3)  # `metrics.fetcher.update-interval` is 1 s, so the next call asks the stopped process
        frozen = cpu_time()
        time.sleep(3)
        assert cpu_time() == frozen, "the stopped process was not waited for, so this test shows nothing"
        kill(victim)
        until(lambda: cpu_time() != frozen)
    finally:
        if victim.running():
            kill(victim)  # it may be stopped, and then it does not end by itself
        stop(cluster, victim)
        stop(cluster, asked)
