"""The programs inside the images."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from streamgauge.jobs.cluster.local_cluster import Cluster, install_flink

from tests.docker.read import DOCKER, read_yaml
from tests.jobs.cluster.test_resources import LOGGERS

IMAGES = DOCKER / "images"
METADATA = """Metadata-Version: 2.4
Name: streamgauge
Version: 0.1.0
Provides-Extra: train
Provides-Extra: serve
Requires-Dist: apache-flink
Requires-Dist: numpy>=2
Requires-Dist: torch; extra == "train"
Requires-Dist: fastapi; extra == "serve"
Requires-Dist: psycopg[binary]>=3; extra == "serve"

What it is.
"""


# ---- what an image installs -----------------------------------------------------------------------------------------


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "streamgauge-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("streamgauge-0.1.0.dist-info/METADATA", METADATA)
    return path


def requirements(wheel: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(IMAGES / "requirements.py"), str(wheel), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_image_installs_what_the_wheel_needs(wheel):
    assert requirements(wheel).stdout.split() == ["apache-flink", "numpy>=2"]


def test_extras_are_added_and_flink_is_left_out(wheel):
    said = requirements(wheel, "--extra", "serve", "--without", "apache-flink").stdout.split()
    assert said == ["fastapi", "numpy>=2", "psycopg[binary]>=3"]


def test_an_empty_extra_is_none(wheel):
    assert requirements(wheel, "--extra", "", "--without", "apache-flink").stdout.split() == ["numpy>=2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--extra", "serf"), "allowed: serve, train"), (("--without", "pandas"), "does not need it")],
)
def test_a_name_that_the_wheel_does_not_know_is_refused(wheel, arguments, said):
    done = requirements(wheel, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert arguments[1] in done.stderr


# ---- whether a process is well --------------------------------------------------------------------------------------


@pytest.fixture
def flink():
    """A server that answers as Flink's list of jobs does."""

    class Handler(BaseHTTPRequestHandler):
        jobs: tuple[str, ...] = ()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"jobs": [{"state": state} for state in self.jobs]}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Handler, f"http://127.0.0.1:{server.server_address[1]}/jobs/overview"
    server.shutdown()
    server.server_close()
    thread.join()


def healthy(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(IMAGES / "healthy.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_process_that_answers_is_well(flink):
    assert healthy(flink[1]).returncode == 0


def test_a_job_must_run_where_that_is_asked(flink):
    handler, url = flink
    assert "there is none" in healthy("--running", url).stderr
    handler.jobs = ("CANCELED", "RESTARTING")
    assert (healthy("--running", url).returncode, healthy(url).returncode) == (1, 0)
    handler.jobs = ("CANCELED", "RUNNING")
    assert healthy("--running", url).returncode == 0


def test_a_process_that_does_not_answer_is_not_well(flink):
    done = healthy(flink[1].replace("/jobs", ":1/jobs").replace("127.0.0.1", "127.0.0.2"))
    assert done.returncode == 1
    assert done.stderr


# ---- what a container starts ----------------------------------------------------------------------------------------


@pytest.fixture
def container(tmp_path: Path):
    """Call the entry point with scripts of Flink that print their arguments, one a line."""
    home, state = tmp_path / "flink", tmp_path / "state"
    (home / "bin").mkdir(parents=True)
    state.mkdir()
    for name in ("standalone-job.sh", "taskmanager.sh"):
        script = home / "bin" / name
        script.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$(basename "$0")" "$@"\n')
        script.chmod(0o755)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def call(*arguments: str, **variables: str) -> list[str]:
        environment = os.environ | {"FLINK_HOME": str(home), "STREAMGAUGE_HOME": str(state), "PATH": path} | variables
        command = [str(IMAGES / "entrypoint.sh"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return done.stdout.splitlines()

    call.state = state
    return call


def test_the_job_is_started_in_application_mode_with_its_arguments(container):
    script, start, *rest = container("job", "--settings", "/etc/streamgauge/detection.yaml")
    assert (script, start) == ("standalone-job.sh", "start-foreground")
    assert rest[:3] == ["--job-classname", "org.apache.flink.client.python.PythonDriver", "-py"]
    assert Path(rest[3]).name == "detect_anomalies.py"
    assert Path(rest[3]).is_file()
    assert rest[4:] == ["--settings", "/etc/streamgauge/detection.yaml"]


def test_options_of_flink_come_from_the_environment(container):
    said = container(
        "taskmanager",
        JOB_MANAGER_RPC_ADDRESS="jobmanager",
        FLINK_PROPERTIES="\n state.dir: s3://bucket/a \n\ntaskmanager.memory.process.size: 2 gb\n",
    )
    assert said[:2] == ["taskmanager.sh", "start-foreground"]
    options = ["jobmanager.rpc.address=jobmanager", "state.dir=s3://bucket/a", "taskmanager.memory.process.size=2 gb"]
    assert said[2:] == [word for option in options for word in ("-D", option)]


def test_the_job_starts_from_the_newest_state_that_is_complete(container):
    assert "--fromSavepoint" not in container("job", STREAMGAUGE_SAVEPOINT="latest")
    for seconds, folder in (
        (100, "checkpoints/a/chk-7"),
        (300, "savepoints/savepoint-b"),
        (200, "checkpoints/c/chk-1"),
    ):
        file = container.state / folder / "_metadata"
        file.parent.mkdir(parents=True)
        file.touch()
        os.utime(file, (seconds, seconds))
    (container.state / "checkpoints" / "d" / "chk-9").mkdir(parents=True)
    said = container("job", STREAMGAUGE_SAVEPOINT="latest")
    assert said[said.index("--fromSavepoint") + 1] == str(container.state / "savepoints" / "savepoint-b")
    said = container("job", STREAMGAUGE_SAVEPOINT="s3://bucket/savepoint-9")
    assert said[said.index("--fromSavepoint") + 1] == "s3://bucket/savepoint-9"


def test_other_commands_are_run_as_they_are(container):
    assert container("bash", "-c", "echo as it is") == ["as it is"]


def test_without_a_command_it_says_what_can_be_started(container):
    said = "\n".join(container())
    assert all(word in said for word in ("job", "taskmanager", "create-topics", "FLINK_PROPERTIES"))


# ---- Flink in the image ---------------------------------------------------------------------------------------------


def test_flink_in_the_image_is_that_of_the_local_cluster_with_other_addresses(tmp_path, monkeypatch):
    jars = tmp_path / "jars"
    (jars / "plugins" / "s3-fs-hadoop").mkdir(parents=True)
    (jars / "plugins" / "s3-fs-hadoop" / "some.jar").touch()
    (jars / "flink").mkdir()
    (jars / "flink" / "flink-sql-connector-kafka-1.jar").touch()
    home, local = tmp_path / "image", Cluster(tmp_path / "local", {})
    for folder in (home, local.home):
        folder.mkdir()
    logging = IMAGES / "log4j-console.properties"
    arguments = ["--home", home, "--jars", jars, "--logging", logging, "--state", tmp_path / "state"]
    monkeypatch.setattr(sys, "argv", ["make_flink_home.py", *map(str, arguments)])
    runpy.run_path(str(IMAGES / "make_flink_home.py"), run_name="__main__")
    install_flink(local, jars)

    def files(folder: Path) -> set[str]:
        return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}

    assert files(home / "flink") - files(local.flink_home) == {"plugins/s3-fs-hadoop/some.jar"}
    image, other = (read_yaml(folder / "conf" / "config.yaml") for folder in (home / "flink", local.flink_home))
    differ = {key for key in image.keys() | other.keys() if image.get(key) != other.get(key)}
    assert {key for key in differ if not key.startswith(("rest.", "jobmanager.", "blob.", "io.tmp"))} == {
        "execution.checkpointing.dir",
        "execution.checkpointing.savepoint-dir",
        "metrics.reporter.prom.port",
        "taskmanager.bind-host",
        "taskmanager.host",
    }
    assert image["rest.bind-address"] == image["taskmanager.bind-host"] == "0.0.0.0"
    assert (home / "flink" / "conf" / "log4j-console.properties").read_bytes() == logging.read_bytes()


@pytest.mark.parametrize(("logger", "level"), LOGGERS)
def test_no_password_of_the_environment_is_written_to_the_log(logger, level):
    lines = (IMAGES / "log4j-console.properties").read_text(encoding="utf-8").splitlines()
    [name] = [line.split(".")[1] for line in lines if line.endswith(f".name = {logger}")]
    assert f"logger.{name}.level = {level}" in lines
