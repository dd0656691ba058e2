"""The commands of the local cluster: start it, stop it, show it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from streamgauge.jobs.cluster import local_cluster
from streamgauge.jobs.cluster.home import writable
from streamgauge.jobs.cluster.kernels import compiling
from streamgauge.jobs.cluster.local_cluster import PORTS
from streamgauge.jobs.commands.options import AsJson, Home, SettingsFile, with_options
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json, tell
from streamgauge.models.errors import InputError

app = command_line()
MOST_TASKMANAGERS = 64


@dataclass(frozen=True)
class Ports:
    """The ports of the processes."""

    kafka_port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of Kafka.")] = PORTS["kafka"]
    controller_port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of Kafka's controller.")] = PORTS[
        "kafka_controller"
    ]
    flink_port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the Flink UI and its REST endpoint.")] = (
        PORTS["flink"]
    )
    flink_rpc_port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of Flink's JobManager.")] = PORTS[
        "flink_rpc"
    ]
    prometheus_port: Annotated[
        int, typer.Option(min=1, max=65_535 - MOST_TASKMANAGERS, help="First port for metrics, one a process.")
    ] = PORTS["prometheus"]

    def by_name(self) -> dict[str, int]:
        """The ports, as `streamgauge.jobs.cluster.local_cluster.up` takes them."""
        return {
            "kafka": self.kafka_port,
            "kafka_controller": self.controller_port,
            "flink": self.flink_port,
            "flink_rpc": self.flink_rpc_port,
            "prometheus": self.prometheus_port,
        }

    def check(self, taskmanagers: int) -> None:
        """Raise an InputError if two processes would have the same port."""
        metrics = range(self.prometheus_port, self.prometheus_port + taskmanagers + 1)
        used = dict.fromkeys(metrics, f"a port for metrics (--prometheus-port {metrics[0]} to {metrics[-1]})")
        for name in ("kafka_port", "controller_port", "flink_port", "flink_rpc_port"):
            port, option = getattr(self, name), f"--{name.replace('_', '-')}"
            if port in used:
                raise InputError(f"{option} {port} is also {used[port]}: each process needs a port of its own")
            used[port] = option


@app.command(epilog="Example: `streamgauge up --taskmanagers 2 --flink-port 18081`")
@with_options
def up(
    ports: Ports,
    taskmanagers: Annotated[
        int, typer.Option(min=1, max=MOST_TASKMANAGERS, help="Number of TaskManagers, with one slot each.")
    ] = 1,
    settings: SettingsFile = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Start a local Kafka and Flink, or the processes of them that do not run, and wait until they answer."""
    with clear_errors():
        ports.check(taskmanagers)
        pipeline = _loaded(settings).pipeline().model_dump_json()
        with console.status("starting"), compiling(writable(home), pipeline, console.log):
            cluster = local_cluster.up(taskmanagers, ports.by_name(), home, say=console.log)
    words = f"Kafka {cluster.bootstrap}   Flink UI {cluster.ui}   logs {cluster.home / 'logs'}"
    tell(local_cluster.status(home) if as_json else None, as_json, words)


@app.command(epilog="Example: `streamgauge down --erase`")
def down(
    erase: Annotated[bool, typer.Option(help="Also delete topics, checkpoints and logs.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Stop the processes that `up` started, and no others."""
    with clear_errors():
        stopped = local_cluster.down(home, erase=erase)
    tell({"stopped": stopped}, as_json, f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@app.command(epilog="Example: `streamgauge status --settings mine.yaml --json`")
def status(settings: SettingsFile = None, home: Home = None, as_json: AsJson = False) -> None:
    """Show the processes and jobs of the local cluster; exit code 1 if it does not run.

    With --settings only the job with their job.name is shown, and the exit code is 1, too, if that job does not run.
    """
    with clear_errors():
        seen = local_cluster.status(home)
        if settings is not None:
            name = _loaded(settings).job.name
            seen["jobs"] = [job for job in seen["jobs"] if job["name"] == name]
            seen["running"] = seen["running"] and any(job["state"] == "RUNNING" for job in seen["jobs"])
    if as_json:
        print_json(seen)
    elif not seen["processes"]:
        console.print("no local cluster; `streamgauge up` starts one")
    else:
        table = Table("process", "pid", "state", "memory")
        for p in seen["processes"]:
            state = Text("runs", "green") if p["alive"] else Text("died", "red")
            table.add_row(p["role"], str(p["pid"]), state, f"{p['rss_mb']} MB" if p["alive"] else "")
        for job in seen["jobs"]:
            table.add_row(f"job {job['name']}", job["jid"], job["state"], "")
        console.print(table)
        console.print(f"Kafka {seen['kafka']}   Flink UI {seen['flink_ui']}")
    if not seen["running"]:
        raise typer.Exit(1)


def _loaded(settings: Path | None) -> Any:
    """The settings. They import numpy, for which `status` alone should not wait."""
    return import_module("streamgauge.jobs.settings.loading").load(settings)
