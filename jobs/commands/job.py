"""The commands of the job: submit it, and stop it with a savepoint."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from typing import Annotated, Literal

import typer
from streamgauge.jobs.cluster import submit as submitting
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.home import writable
from streamgauge.jobs.cluster.kernels import compiling
from streamgauge.jobs.cluster.local_cluster import Cluster, running_cluster
from streamgauge.jobs.commands.options import AsJson, Home, JobManager, SettingsFile
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json
from streamgauge.jobs.kafka.topics import ensure
from streamgauge.jobs.settings.loading import load
from streamgauge.models.errors import InputError

app = command_line()


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Example: `streamgauge submit --settings mine.yaml --jobmanager flink:8081 -- -Drestart-strategy.type=none`",
)
def submit(
    context: typer.Context,
    settings: SettingsFile = None,
    jobmanager: JobManager = None,
    target: Annotated[
        str, typer.Option(help="Flink's deployment target (remote, kubernetes-session, ...).")
    ] = "remote",
    python_mode: Annotated[
        Literal["thread", "process"] | None, typer.Option(help="Where Python runs, instead of job.execution.")
    ] = None,
    from_savepoint: Annotated[str | None, typer.Option(help="Savepoint or checkpoint to start from.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Submit the job. What follows `--` goes to `flink run`."""
    with clear_errors():
        if python_mode is not None:
            os.environ["STREAMGAUGE__JOB__EXECUTION"] = python_mode
        loaded = load(settings)
        local = jobmanager is None and target == "remote" and Cluster.load(home) is not None
        with compiling(writable(home), loaded.pipeline().model_dump_json(), console.log) if local else nullcontext():
            created = ensure(loaded.kafka, max(4, loaded.batch.shards))
        if created:
            console.print(f"created topics {', '.join(created)}")
        with console.status("submitting"):
            job = submitting.submit(
                loaded,
                settings,
                jobmanager=jobmanager,
                target=target,
                from_savepoint=from_savepoint,
                options=tuple(context.args),
                home=home,
            )
    console.print(f"job {job} runs")
    if as_json:
        print_json({"job": job})


@app.command(
    epilog="Example: `streamgauge stop` prints the savepoint; `streamgauge submit --from-savepoint ...` starts from it"
)
def stop(
    job: Annotated[str | None, typer.Argument(help="Id of the job; not needed if only one is running.")] = None,
    jobmanager: JobManager = None,
    savepoints: Annotated[
        str | None, typer.Option(help="Folder for the savepoint; Flink must be able to write there.")
    ] = None,
    home: Home = None,
) -> None:
    """Stop the job with a savepoint: nothing is lost, and a new job can start from it."""
    with clear_errors():
        rest = FlinkRest(jobmanager or running_cluster(home).jobmanager)
        if job is None:
            running = rest.running()
            if len(running) != 1:
                names = ", ".join(f"{j['jid']} ({j['name']})" for j in running) or "none"
                raise InputError(f"name the job to stop; running: {names}")
            job = str(running[0]["jid"])
        path = rest.stop(job, savepoints)
    sys.stdout.write(path + "\n")
