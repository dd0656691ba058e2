"""A real Kafka broker and a real Flink cluster on this machine, as plain processes.

All files are in one folder, the home (see home.py): jars, logs, data, checkpoints, compiled kernels, and `cluster.json`, the
list of the processes that `up` started. `down` stops only these processes.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.home import existing_or_new, writable
from streamgauge.jobs.cluster.kernels import CACHE, forget_old, kernel_cache
from streamgauge.jobs.cluster.maven import fetch
from streamgauge.jobs.cluster.resources import flink_configuration, pom
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.jobs.settings.strict_yaml import read, write
from streamgauge.models.errors import ClusterError

PORTS = {"kafka": 9092, "kafka_controller": 9093, "flink": 8081, "flink_rpc": 6123, "prometheus": 9249}
START_SECONDS = 300  # on a busy machine, Kafka took more than 60; a process that dies is noticed at once
SERVICE = "service"  # role of the process that shows the page; the cluster does not need it
STOPPED = (SERVICE, "taskmanager", "jobmanager", "kafka")  # the order in which processes are stopped


@dataclass
class Process:
    """A process that `up` started. The time `started` shows whether the process id now belongs to another process."""

    role: str
    pid: int
    started: float

    def running(self) -> psutil.Process | None:
        """The process if it still runs, or None."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


@dataclass
class Cluster:
    """A local cluster, as `cluster.json` describes it."""

    home: Path
    ports: dict[str, int]
    processes: list[Process] = field(default_factory=list)

    @property
    def bootstrap(self) -> str:
        """Address of the Kafka broker."""
        return f"127.0.0.1:{self.ports['kafka']}"

    @property
    def jobmanager(self) -> str:
        """Address of Flink's REST endpoint, as `flink run --jobmanager` takes it."""
        return f"127.0.0.1:{self.ports['flink']}"

    @property
    def ui(self) -> str:
        """URL of the Flink UI."""
        return f"http://{self.jobmanager}"

    @property
    def rest(self) -> FlinkRest:
        """Flink's REST endpoint."""
        return FlinkRest(self.jobmanager)

    @property
    def flink_home(self) -> Path:
        """The folder that FLINK_HOME points to."""
        return self.home / "flink"

    def environment(self) -> dict[str, str]:
        """Environment variables of every Flink process: our FLINK_HOME, and this Python first on PATH."""
        drop = ("FLINK_", "PYTHONPATH")
        keep = {k: v for k, v in os.environ.items() if not k.startswith(drop)}
        return keep | {
            "FLINK_HOME": str(self.flink_home),
            "FLINK_CONF_DIR": str(self.flink_home / "conf"),
            "FLINK_LOG_DIR": str(self.home / "logs"),
            "FLINK_PID_DIR": str(self.home / "run"),
            "PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
            CACHE: str(kernel_cache(self.home)),
        }

    def roles(self, prefix: str) -> list[Process]:
        """The processes whose role begins with `prefix`."""
        return [p for p in self.processes if p.role.startswith(prefix)]

    def dead(self) -> list[str]:
        """The roles whose process has ended, of those that the cluster needs."""
        return [p.role for p in self.processes if p.role != SERVICE and p.running() is None]

    def save(self) -> None:
        """Write `cluster.json` in one step, so that it is never incomplete."""
        path = self.home / "cluster.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps({"ports": self.ports, "processes": [asdict(p) for p in self.processes]}, indent=1))
        part.replace(path)

    @classmethod
    def load(cls, home: Path | None = None) -> Cluster | None:
        """The cluster that `up` started, whether it still runs or not; None if there is none."""
        home = existing_or_new(home)
        try:
            saved = json.loads((home / "cluster.json").read_text())
            return cls(home, dict(saved["ports"]), [Process(**p) for p in saved["processes"]])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ClusterError(
                f"{home / 'cluster.json'} is damaged ({error}): delete it, and stop leftover java processes"
            ) from error


def running_cluster(home: Path | None = None) -> Cluster:
    """The running local cluster. Raises ClusterError, which says how to start one, if none is running."""
    cluster = Cluster.load(home)
    if cluster is None or not cluster.processes:
        raise ClusterError("no local cluster is running: start one with `streamgauge up`")
    dead = cluster.dead()
    if dead:
        raise ClusterError(
            f"the local cluster is broken, {', '.join(dead)} died (logs: {cluster.home / 'logs'}): "
            "`streamgauge down`, then `streamgauge up`"
        )
    return cluster


# ---- requirements of `up` ------------------------------------------------------------------------------------------


def java() -> str:
    """Path of Java 17 or newer. Raises ClusterError, which says what to install, if there is none."""
    candidates = [f"{os.environ['JAVA_HOME']}/bin/java"] if os.environ.get("JAVA_HOME") else []
    path = next((c for c in [*candidates, shutil.which("java")] if c and os.access(c, os.X_OK)), None)
    if path is None:
        raise ClusterError("no Java found: install OpenJDK 17 (Debian: apt install openjdk-17-jre-headless)")
    output = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
    version = output.split('"')[1] if output.count('"') >= 2 else "unknown"
    major = version.split(".", 1)[0]
    if not major.isdigit() or int(major) < 17:
        raise ClusterError(f"Java at {path} is version {version}; Flink 2.3 and Kafka 4.1 need 17: set JAVA_HOME")
    return path


def jars(home: Path) -> Path:
    """Folder with the jars of the Kafka broker and of Flink's Kafka connector. Maven downloads them once."""
    folder = home / "jars"
    fetch(pom(), home, folder, ("flink/flink-sql-connector-kafka-*.jar", "kafka/kafka_*.jar"))
    return folder


def port_in_use(port: int) -> str | None:
    """Name of the process that listens on a local port, or None if the port is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return None
        except OSError:
            pass
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
            return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another process"


# ---- up -----------------------------------------------------------------------------------------------------------


def up(
    taskmanagers: int = 1,
    ports: dict[str, int] | None = None,
    home: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Cluster:
    """Start the processes that are not running yet, and wait until each one answers.

    Parameters
    ----------
    taskmanagers : int
        Number of TaskManagers, with one slot each. Missing ones are started; if there are more, they are kept.
    ports : dict, optional
        Ports by name (see `PORTS`) that differ from the defaults. The JobManager serves Prometheus metrics on the port
        ``prometheus``, and TaskManager i on ``prometheus + 1 + i``.
    home : Path, optional
        Folder of the cluster. It is created if it does not exist.
    say : callable
        Called with a line of text at each step.

    Raises
    ------
    ClusterError
        A port is in use, Java or Maven is missing, or a process died while starting. The message says what to do.
    InputError
        The home is a file, or cannot be written to.
    """
    home = writable(home)
    say(f"state in {home}")
    known = Cluster.load(home)
    if known is not None and known.processes:
        dead = known.dead()
        if dead and any(p.running() for p in known.processes):
            say(f"{', '.join(dead)} died since the last start: stopping the other processes, then starting all again")
        if dead:
            down(home)
            known = None
    if known is not None and known.processes and ports and any(known.ports[k] != v for k, v in ports.items()):
        raise ClusterError(f"a cluster with other ports runs in {home}: `streamgauge down` first")
    cluster = known if known is not None and known.processes else Cluster(home, PORTS | (ports or {}))
    java_path, jar_folder = java(), jars(home)
    for folder in ("logs", "run", "checkpoints", "savepoints", "tmp"):
        (home / folder).mkdir(exist_ok=True)
    if not cluster.processes:
        taken = {name: who for name, port in cluster.ports.items() if (who := port_in_use(port))}
        if taken:
            raise ClusterError(
                "; ".join(f"port {cluster.ports[n]} ({n}) is used by {who}" for n, who in taken.items())
                + ": stop it, or choose other ports (`streamgauge up --help`)"
            )
        install_flink(cluster, jar_folder)
        forget_old(home)
        say(f"starting Kafka on {cluster.bootstrap}, and Flink with its UI on {cluster.ui}")
        start_kafka(cluster, java_path, jar_folder)
        start_jobmanager(cluster)
    for _ in range(taskmanagers - len(cluster.roles("taskmanager"))):
        add_taskmanager(cluster, wait=False)
    wait_for_kafka(cluster)
    wait_for(cluster, "jobmanager", lambda: bool(cluster.rest.call("/overview")))
    wanted = len(cluster.roles("taskmanager"))
    wait_for(cluster, "taskmanager", lambda: _taskmanagers(cluster) >= wanted)
    say(f"{wanted} TaskManager{'s' if wanted > 1 else ''} ready")
    return cluster


def start_jobmanager(cluster: Cluster) -> Process:
    """Start the JobManager. It knows nothing of the jobs of an earlier one: submit them again, from their newest checkpoints."""
    return _start_flink(cluster, "jobmanager", 0)


def add_taskmanager(cluster: Cluster, wait: bool = True) -> Process:
    """Start one more TaskManager."""
    known = {p.role for p in cluster.roles("taskmanager")}
    number = next(i for i in range(len(known) + 1) if f"taskmanager-{i}" not in known)
    process = _start_flink(cluster, f"taskmanager-{number}", number + 1)
    if wait:
        alive = sum(p.running() is not None for p in cluster.roles("taskmanager"))
        wait_for(cluster, process.role, lambda: _taskmanagers(cluster) >= alive)
    return process


def install_flink(cluster: Cluster, jar_folder: Path) -> None:
    """Create a FLINK_HOME in the home, with links into the installed wheel. Nothing in site-packages is changed."""
    pyflink = find_spec("pyflink")  # only its path is needed, and importing it takes half a second
    if pyflink is None or pyflink.origin is None:
        raise ClusterError("apache-flink is not installed: pip install -c constraints.txt .")
    wheel, home = Path(pyflink.origin).parent, cluster.flink_home
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(wheel / "bin", home / "bin")
    for script in (home / "bin").iterdir():
        script.chmod(0o755)
    python_jar = [*(wheel / "opt").glob("flink-python-*.jar")]
    links = {
        # flink-python must be in lib/. If it is loaded for each job, the second job on a TaskManager fails (docs/adr/002).
        "lib": [*(wheel / "lib").glob("*.jar"), *python_jar, *jar_folder.glob("flink/*.jar")],
        "opt": python_jar,
        "plugins/metrics-prometheus": [*(wheel / "plugins" / "metrics-prometheus").glob("*.jar")],
    }
    for folder, files in links.items():
        (home / folder).mkdir(parents=True)
        for jar in files:
            (home / folder / jar.name).symlink_to(jar)
    shutil.copytree(
        flink_configuration(), home / "conf", ignore=shutil.ignore_patterns("__pycache__", "pom.xml", "constraints.txt")
    )
    config = read((home / "conf" / "config.yaml").read_bytes(), "config.yaml of Flink")
    ports = PORTS | cluster.ports
    config |= {
        "jobmanager.rpc.port": ports["flink_rpc"],
        "rest.port": ports["flink"],
        "rest.bind-port": str(ports["flink"]),
        "execution.checkpointing.dir": (cluster.home / "checkpoints").as_uri(),
        "execution.checkpointing.savepoint-dir": (cluster.home / "savepoints").as_uri(),
        "io.tmp.dirs": str(cluster.home / "tmp"),
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        # A local JobManager has little to do. Most of its CPU time was Java's second compiler, while the job waited.
        "env.java.opts.jobmanager": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    (home / "conf" / "config.yaml").write_text(write(config))


def start_kafka(cluster: Cluster, java_path: str, jar_folder: Path) -> None:
    """Start the broker with its existing data, or with none if there are no data yet."""
    data, ports = cluster.home / "kafka", cluster.ports
    config = cluster.home / "kafka.properties"
    config.write_text(
        "\n".join(
            (
                "process.roles=broker,controller",
                "node.id=1",
                f"controller.quorum.voters=1@127.0.0.1:{ports['kafka_controller']}",
                f"listeners=PLAINTEXT://127.0.0.1:{ports['kafka']},CONTROLLER://127.0.0.1:{ports['kafka_controller']}",
                f"advertised.listeners=PLAINTEXT://127.0.0.1:{ports['kafka']}",
                "controller.listener.names=CONTROLLER",
                f"log.dirs={data}",
                "offsets.topic.replication.factor=1",
                "offsets.topic.num.partitions=4",
                "transaction.state.log.replication.factor=1",
                "transaction.state.log.min.isr=1",
                "transaction.state.log.num.partitions=4",
                "group.initial.rebalance.delay.ms=0",
                "auto.create.topics.enable=false",
                "num.partitions=4",
                "log.retention.ms=-1",  # replayed events have timestamps in the past
                "",
            )
        )
    )
    base = [java_path, "-Xms256m", "-Xmx512m", "-cp", f"{jar_folder / 'kafka'}/*"]
    quiet = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    if not (data / "meta.properties").exists():
        command = [*base, *quiet, "kafka.tools.StorageTool", "format", "-t", uuid.uuid4().hex[:22], "-c", str(config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"Kafka could not format {data}: {(done.stdout + done.stderr).strip()[-600:]}")
    spawn(cluster, "kafka", [*base, *quiet, "kafka.Kafka", str(config)], dict(os.environ))


def _start_flink(cluster: Cluster, role: str, prometheus_offset: int) -> Process:
    script = "jobmanager.sh" if role == "jobmanager" else "taskmanager.sh"
    options = {"metrics.reporter.prom.port": str(cluster.ports["prometheus"] + prometheus_offset)}
    if role != "jobmanager":
        options["taskmanager.resource-id"] = f"{role}-{uuid.uuid4().hex[:6]}"
    arguments = [word for key, value in options.items() for word in ("-D", f"{key}={value}")]
    command = [str(cluster.flink_home / "bin" / script), "start-foreground", *arguments]
    return spawn(cluster, role, command, cluster.environment())


def spawn(cluster: Cluster, role: str, command: list[str], environment: dict[str, str]) -> Process:
    """Start a process that outlives this one, with its output in `logs/ROLE.out`. `down` stops it."""
    with (cluster.home / "logs" / f"{role}.out").open("ab") as out:
        child = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
            cwd=cluster.home,
        )
    process = Process(role, child.pid, psutil.Process(child.pid).create_time())
    child.returncode = 0  # the process is meant to outlive this object; without this, Python would warn
    cluster.processes = [p for p in cluster.processes if p.role != role] + [process]
    cluster.save()
    return process


def wait_for(cluster: Cluster, role: str, ready: Callable[[], bool]) -> None:
    """Wait until the processes of a role answer.

    Raises
    ------
    ClusterError
        One of them died, or they do not answer in time; the message has their last lines of output.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for process in cluster.roles(role):
            if process.running() is None:
                raise ClusterError(f"{process.role} died while starting: {_last_lines(cluster, process.role)}")
        try:
            if ready():
                return
        except (ClusterError, ValueError, KeyError):
            pass
        time.sleep(0.2)
    raise ClusterError(
        f"{role} did not answer within {START_SECONDS} s: {_last_lines(cluster, role)}; `streamgauge down`, then try again"
    )


def wait_for_kafka(cluster: Cluster) -> None:
    """Wait until the broker answers. Raises ClusterError with its last lines of output if it does not."""
    wait_for(cluster, "kafka", lambda: _kafka_answers(cluster))


def _last_lines(cluster: Cluster, role: str) -> str:
    logs = sorted((cluster.home / "logs").glob(f"{role}*.out"))
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"{' | '.join(lines[-3:]) or 'it printed nothing'} (logs: {cluster.home / 'logs'})"


def _kafka_answers(cluster: Cluster) -> bool:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", cluster.ports["kafka"])):
            return False
    with clients.admin(
        KafkaSettings(bootstrap=cluster.bootstrap), "look at the broker", request_timeout_ms=5000
    ) as admin:
        return bool(admin.describe_cluster())


def _taskmanagers(cluster: Cluster) -> int:
    """Number of TaskManagers that are registered with the JobManager."""
    return int(cluster.rest.call("/overview")["taskmanagers"])


# ---- down and status ------------------------------------------------------------------------------------------------


def down(home: Path | None = None, seconds: float = 20, erase: bool = False) -> list[str]:
    """Stop the processes that `up` started, and no others.

    Parameters
    ----------
    home : Path, optional
        Folder of the cluster.
    seconds : float
        How long a process may take to end before it is killed.
    erase : bool
        Delete topics, checkpoints and logs, too. Jars and compiled kernels are kept.

    Returns
    -------
    list of str
        Roles of the processes that were running.
    """
    home = existing_or_new(home)
    cluster = Cluster.load(home)
    stopped: list[str] = []
    if cluster is not None:
        order = sorted(cluster.processes, key=lambda p: STOPPED.index(p.role.partition("-")[0]))
        alive = [(p.role, live) for p in order if (live := p.running())]
        for _, live in alive:
            with suppress(psutil.NoSuchProcess):
                live.terminate()
        _, stubborn = psutil.wait_procs([live for _, live in alive], timeout=seconds)
        for live in stubborn:
            with suppress(psutil.NoSuchProcess):
                live.kill()
        psutil.wait_procs(stubborn, timeout=5)
        stopped = [role for role, _ in alive]
        (home / "cluster.json").unlink(missing_ok=True)
    if erase:
        for folder in ("kafka", "checkpoints", "savepoints", "logs", "run", "tmp", "flink"):
            shutil.rmtree(home / folder, ignore_errors=True)
    return stopped


def status(home: Path | None = None) -> dict[str, Any]:
    """State of the local cluster: its processes with their memory, its addresses, and Flink's jobs."""
    cluster = Cluster.load(home)
    if cluster is None:
        return {"running": False, "processes": [], "jobs": []}
    rows = []
    for process in cluster.processes:
        live = process.running()
        rows.append(
            {
                "role": process.role,
                "pid": process.pid,
                "alive": live is not None,
                "rss_mb": round(live.memory_info().rss / 2**20) if live else None,
            }
        )
    jobs: list[dict[str, Any]] = []
    with suppress(ClusterError):
        overview = cluster.rest.call("/jobs/overview")
        jobs = [{k: j[k] for k in ("jid", "name", "state")} for j in overview["jobs"]]
    alive = bool(rows) and not cluster.dead()
    return {"running": alive, "processes": rows, "kafka": cluster.bootstrap, "flink_ui": cluster.ui, "jobs": jobs}
