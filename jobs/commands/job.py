"""The commands of the job: submit it, and stop it with a savepoint."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from typing import Annotated, Any, Literal

import typer
from streamgauge.jobs.cluster import submit as submitting
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.home import writable
from streamgauge.jobs.cluster.kernels import compiling
from streamgauge.jobs.cluster.local_cluster import Cluster, running_cluster
from streamgauge.jobs.commands.options import AsJson, Home, JobManager, SettingsFile
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json, tell
from streamgauge.jobs.kafka.event_topics import there
from streamgauge.jobs.kafka.topics import ensure
from streamgauge.jobs.settings.kafka import KafkaSettings
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
        jobmanager = jobmanager or loaded.flink.rest.address
        local = jobmanager is None and target == "remote" and Cluster.load(home) is not None
        with compiling(writable(home), loaded.pipeline().model_dump_json(), console.log) if local else nullcontext():
            created = ensure(loaded.kafka, max(4, loaded.batch.shards))
            matching = there(loaded.kafka) if loaded.kafka.topics.events_pattern else None
        if created:
            console.print(f"created topics {', '.join(created)}")
        if matching is not None:
            console.print(_said_of_pattern(loaded.kafka, matching), highlight=False, markup=False, soft_wrap=True)
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
    tell({"job": job}, as_json, f"job {job} runs")


@app.command(
    epilog="Example: `streamgauge stop` prints the savepoint; `streamgauge submit --from-savepoint ...` starts from it"
)
def stop(
    job: Annotated[
        str | None, typer.Argument(help="Id of the job; not needed with --settings, or if only one is running.")
    ] = None,
    settings: SettingsFile = None,
    jobmanager: JobManager = None,
    savepoints: Annotated[
        str | None, typer.Option(help="Folder for the savepoint; Flink must be able to write there.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Stop the job with a savepoint: nothing is lost, and a new job can start from it.

    With --settings it is the job with their job.name. The path of the savepoint is printed to standard output.
    """
    with clear_errors():
        loaded = load(settings)
        name, there = None if settings is None else loaded.job.name, jobmanager or loaded.flink.rest.address
        rest = FlinkRest(there, loaded.flink.rest) if there else FlinkRest(running_cluster(home).jobmanager)
        job = job or _only_job(rest.running(), name)
        path = rest.stop(job, savepoints)
    if as_json:
        print_json({"job": job, "savepoint": path})
    else:
        sys.stdout.write(path + "\n")


def _said_of_pattern(kafka: KafkaSettings, matching: list[str]) -> str:
    """What the pattern of the topics of events matches now."""
    pattern = f"kafka.topics.events_pattern {kafka.topics.events_pattern!r}"
    if matching:
        return f"{pattern} matches {', '.join(matching)}; topics that appear later are read, too"
    return (
        f"{pattern} matches no topic at {kafka.bootstrap} yet: the job waits for one. decide.promise is shared among the partitions "
        "at the start, so submit it again when the topics are there"
    )


def _only_job(running: list[dict[str, Any]], name: str | None) -> str:
    """Id of the only running job, or of the only one with this name."""
    meant = [job for job in running if name in (None, job["name"])]
    if len(meant) != 1:
        names = ", ".join(f"{job['jid']} ({job['name']})" for job in running) or "none"
        which = "" if name is None else f" (job.name is {name!r})"
        raise InputError(f"name the job to stop{which}; running: {names}")
    return str(meant[0]["jid"])
