"""The wheel is complete: all commands work after an installation into an empty environment, without a clone.

The new environment uses the other packages of this one, so only the wheel itself is installed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.settings.kafka import KafkaSettings

from tests.integration.conftest import free_ports
from tests.integration.live import PATIENCE

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SOURCES = (
    "jobs",
    "udfs",
    "models",
    "flink-conf",
    "examples/nab",
    "setup.py",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "constraints.txt",
)


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and a user with an empty home and an empty working directory."""

    environment: Path
    user: Path
    ports: dict[str, int]

    @property
    def site(self) -> Path:
        return self.environment / "lib" / "python3.11" / "site-packages"

    @property
    def state(self) -> Path:
        """The default folder of the local cluster."""
        return self.user / ".cache" / "streamgauge"

    def run(self, program: str, *arguments: str, code: int = 0) -> str:
        """Run a command of the environment. Returns what it prints to standard output."""
        unwanted = ("PYTHON", "STREAMGAUGE", "NUMBA", "FLINK", "XDG")
        variables = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        variables |= {"HOME": str(self.user), "STREAMGAUGE__KAFKA__BOOTSTRAP": f"127.0.0.1:{self.ports['kafka']}"}
        done = subprocess.run(
            [self.environment / "bin" / program, *arguments],
            cwd=self.user / "empty",
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + (done.stderr if code else "")

    def streamgauge(self, *arguments: str, code: int = 0) -> str:
        return self.run("streamgauge", *arguments, code=code)

    def processes(self) -> list[str]:
        """Command lines of the processes that name this environment or its state."""
        lines = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
        return [line for line in lines if str(self.environment) in line or str(self.state) in line]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:  # a copy, because building leaves files, and would use those of an older build
        source, target = ROOT / name, folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    pip = [sys.executable, "-m", "pip"]
    quiet = ["-q", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "wheel", *quiet, "--no-build-isolation", "-w", folder, folder / "source"], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "environment"], check=True)
    made = Installed(folder / "environment", folder / "user", free_ports())
    (made.site / "others.pth").write_text(
        sysconfig.get_path("purelib") + "\n"
    )  # .pth files in that folder are not read
    (wheel,) = folder.glob("streamgauge-*.whl")
    subprocess.run(
        [
            *pip,
            "--python",
            made.environment / "bin" / "python",
            "install",
            *quiet,
            "--force-reinstall",
            "--no-index",
            wheel,
        ],
        check=True,
    )
    (made.user / "empty").mkdir(parents=True)
    try:
        yield made
    finally:
        made.streamgauge("down")


def test_no_file_of_the_clone_is_used(installed):
    code = "import streamgauge, streamgauge.jobs.commands.app as app; print(list(streamgauge.__path__), app.__file__)"
    package = installed.site / "streamgauge"
    seen = installed.run("python", "-c", code).split()
    assert seen == [f"['{package}']", str(package / "jobs" / "commands" / "app.py")]
    places = json.loads(installed.streamgauge("where", "--json"))
    assert places.pop("home") == str(installed.state)
    assert all(place.startswith(str(package)) and Path(place).exists() for place in places.values())


def test_a_home_that_cannot_be_used_is_an_error_of_one_line(installed):
    (installed.user / "file").touch()
    for command in ("up", "down", "status", "demo", "warm", "stop", "where"):
        output = installed.streamgauge(command, "--home", str(installed.user / "file"), code=2)
        assert output == f"error: home {installed.user / 'file'} is a file: --home and STREAMGAUGE_HOME name a folder\n"
    output = installed.streamgauge("up", "--home", str(installed.user / "file" / "below"), code=2)
    assert output.startswith(f"error: cannot write to home {installed.user / 'file' / 'below'} (")
    assert output.count("\n") == 1


def test_up_submit_alert_stop_demo_down(installed):
    names = {name: f"--{name.removeprefix('kafka_').replace('_', '-')}-port" for name in installed.ports}
    ports = [word for name, port in installed.ports.items() for word in (names[name], str(port))]
    up = json.loads(installed.streamgauge("up", *ports, "--json"))
    assert up["running"]
    (cache,) = (installed.state / "numba").iterdir()
    compiled = sorted(cache.rglob("*.nbi"))
    assert compiled

    job = json.loads(installed.streamgauge("submit", "--json"))["job"]
    assert sorted(cache.rglob("*.nbi")) == compiled  # the job found all kernels
    kafka = KafkaSettings(bootstrap=f"127.0.0.1:{installed.ports['kafka']}")
    alert, deadline = "", time.monotonic() + PATIENCE
    with clients.producer(kafka, "write events") as producer:
        while (
            not alert and time.monotonic() < deadline
        ):  # a job that starts at the latest event may miss the first ones
            for i in range(400):
                event = {"entity": "pump", "pressure": 9999 if i == 390 else 50 + i % 7}
                producer.send("events", json.dumps(event).encode(), b"pump")
            producer.flush()
            alert = installed.streamgauge("alerts", "--from-beginning", "--limit", "1", "--idle", "3", "--json")
    assert json.loads(alert)["subject"] == "pump"
    assert {j["jid"]: j["state"] for j in json.loads(installed.streamgauge("status", "--json"))["jobs"]} == {
        job: "RUNNING"
    }

    savepoint = installed.streamgauge("stop").strip()
    assert savepoint.startswith(f"file:{installed.state}/savepoints/")
    output = installed.user / "demo"
    figures = json.loads(installed.streamgauge("demo", "--output", str(output), "--json"))
    assert (figures["windows"], figures["windows_found"] > 0) == (24, True)
    assert (output / "alerts.png").read_bytes().startswith(b"\x89PNG")
    assert (output / "alerts.jsonl").read_text().count("\n") > 0
    installed.streamgauge("down")
    assert installed.processes() == []
    assert list((installed.user / "empty").iterdir()) == []


def test_a_backtest_of_the_series_of_the_demo_works(installed):
    series = Path(installed.streamgauge("where", "series").strip()) / "nyc_taxi.csv"
    page = installed.user / "backtest.html"
    command = ("backtest", str(series), "--time-column", "timestamp", "--page", str(page), "--json")
    figures = json.loads(installed.streamgauge(*command))
    assert figures["scored"] + figures["unjudged"] == 10_320
    assert figures["alerts.opened"] > 0
    assert "Incidents on their series" in page.read_text()
