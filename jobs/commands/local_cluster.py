"""The commands of the local cluster: start it, stop it, show it."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer
from rich.table import Table
from streamgauge.jobs.cluster import local_cluster
from streamgauge.jobs.cluster.home import writable
from streamgauge.jobs.cluster.kernels import compiling
from streamgauge.jobs.commands.options import AsJson, Home
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json

app = command_line()


@app.command(epilog="Example: `streamgauge up --taskmanagers 2 --flink-port 18081`")
def up(
    taskmanagers: Annotated[int, typer.Option(min=1, max=64, help="Number of TaskManagers, with one slot each.")] = 1,
    kafka_port: Annotated[int, typer.Option(help="Port of Kafka.")] = 9092,
    controller_port: Annotated[int, typer.Option(help="Port of Kafka's controller.")] = 9093,
    flink_port: Annotated[int, typer.Option(help="Port of the Flink UI and its REST endpoint.")] = 8081,
    flink_rpc_port: Annotated[int, typer.Option(help="Port of Flink's JobManager.")] = 6123,
    prometheus_port: Annotated[int, typer.Option(help="First port for metrics; each Flink process has one.")] = 9249,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Start a local Kafka and Flink, or the processes of them that do not run, and wait until they answer."""
    ports = {
        "kafka": kafka_port,
        "kafka_controller": controller_port,
        "flink": flink_port,
        "flink_rpc": flink_rpc_port,
        "prometheus": prometheus_port,
    }
    loading = import_module("streamgauge.jobs.settings.loading")  # imports numpy, for which `status` should not wait
    with clear_errors():
        pipeline = loading.load().pipeline().model_dump_json()
        with console.status("starting"), compiling(writable(home), pipeline, console.log):
            cluster = local_cluster.up(taskmanagers, ports, home, say=console.log)
    console.print(f"Kafka {cluster.bootstrap}   Flink UI {cluster.ui}   logs {cluster.home / 'logs'}")
    if as_json:
        print_json(local_cluster.status(home))


@app.command(epilog="Example: `streamgauge down --erase`")
def down(
    erase: Annotated[bool, typer.Option(help="Also delete topics, checkpoints and logs.")] = False, home: Home = None
) -> None:
    """Stop the processes that `up` started, and no others."""
    with clear_errors():
        stopped = local_cluster.down(home, erase=erase)
    console.print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@app.command(epilog="Example: `streamgauge status --json`")
def status(home: Home = None, as_json: AsJson = False) -> None:
    """Show the processes and jobs of the local cluster; exit code 1 if it does not run."""
    with clear_errors():
        seen = local_cluster.status(home)
    if as_json:
        print_json(seen)
    elif not seen["processes"]:
        console.print("no local cluster; `streamgauge up` starts one")
    else:
        table = Table("process", "pid", "state", "memory")
        for p in seen["processes"]:
            state = "[green]runs[/]" if p["alive"] else "[red]died[/]"
            table.add_row(p["role"], str(p["pid"]), state, f"{p['rss_mb']} MB" if p["alive"] else "")
        for job in seen["jobs"]:
            table.add_row(f"job {job['name']}", job["jid"], job["state"], "")
        console.print(table)
        console.print(f"Kafka {seen['kafka']}   Flink UI {seen['flink_ui']}")
    if not seen["running"]:
        raise typer.Exit(1)
