"""The command line: thin, each command is a function elsewhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from streamgauge.jobs.commands.alerts import explain, feedback
from streamgauge.jobs.commands.cluster import kernels_beside, kernels_for_job, use_compiled_kernels, warm, where
from streamgauge.jobs.commands.entity import entity_app
from streamgauge.jobs.commands.models import models_app, train
from streamgauge.jobs.commands.report import report
from streamgauge.jobs.commands.shared import (
    AsJson,
    Home,
    JobManager,
    SettingsFile,
    clear_errors,
    console,
    need_files,
    print_json,
)
from streamgauge.jobs.commands.trial import trial_app
from streamgauge.models.errors import InputError

app = typer.Typer(
    name="streamgauge",
    help="Anomaly detection on Kafka streams, as an Apache Flink job.",
    epilog="Exit codes: 0 fine, 1 something failed, 2 wrong settings or arguments.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    callback=use_compiled_kernels,
)
app.add_typer(models_app, name="models")
app.add_typer(entity_app, name="entity")
app.add_typer(trial_app, name="trial")
app.command(epilog="Example: `streamgauge explain 6301325c --plot alert.png`")(explain)
app.command(epilog="Example: `streamgauge feedback 6301325c false --why 'nightly backup'`")(feedback)
app.command(epilog="Example: `streamgauge report --since 7d --output week.html`")(report)
app.command(epilog="Example: `streamgauge train pumps autoencoder history.csv --entity-column pump --registry models`")(
    train
)
app.command(epilog="Example: `streamgauge warm`, once after an installation")(warm)
app.command(epilog="Example: `streamgauge backtest $(streamgauge where series)/*.csv --time-column timestamp`")(where)


@app.command(epilog="Example: `streamgauge demo --keep`")
def demo(
    keep: Annotated[bool, typer.Option(help="Leave the cluster and the job running.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the picture and the alerts.")] = Path("demo-output"),
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Play real series through a local Kafka and Flink, and show what is found."""
    from streamgauge.jobs.studies.demo import run  # noqa: PLC0415

    with clear_errors():
        figures = run(output, keep, console, home)
    if as_json:
        print_json(figures)


@app.command(epilog="Example: `streamgauge up --taskmanagers 2 --flink-port 18081`")
def up(
    taskmanagers: Annotated[int, typer.Option(min=1, max=64, help="TaskManagers, one slot each.")] = 1,
    kafka_port: Annotated[int, typer.Option(help="Kafka.")] = 9092,
    controller_port: Annotated[int, typer.Option(help="Kafka's controller.")] = 9093,
    flink_port: Annotated[int, typer.Option(help="Flink UI and REST.")] = 8081,
    flink_rpc_port: Annotated[int, typer.Option(help="Flink's JobManager.")] = 6123,
    prometheus_port: Annotated[int, typer.Option(help="First of the metrics ports: one a Flink process.")] = 9249,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Start a local Kafka and Flink, or what is missing of them; wait until they answer."""
    from streamgauge.jobs.cluster import local_cluster  # noqa: PLC0415

    ports = {
        "kafka": kafka_port,
        "kafka_controller": controller_port,
        "flink": flink_port,
        "flink_rpc": flink_rpc_port,
        "prometheus": prometheus_port,
    }
    with clear_errors(), console.status("starting"), kernels_beside(home):
        cluster = local_cluster.up(taskmanagers, ports, home, say=console.log)
    console.print(f"Kafka {cluster.bootstrap}   Flink UI {cluster.ui}   logs {cluster.home / 'logs'}")
    if as_json:
        print_json(local_cluster.status(home))


@app.command(epilog="Example: `streamgauge down --erase`")
def down(
    erase: Annotated[bool, typer.Option(help="Delete topics, checkpoints and logs too.")] = False, home: Home = None
) -> None:
    """Stop what `up` started, and nothing else."""
    from streamgauge.jobs.cluster import local_cluster  # noqa: PLC0415

    with clear_errors():
        stopped = local_cluster.down(home, erase=erase)
    console.print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@app.command(epilog="Example: `streamgauge status --json`")
def status(home: Home = None, as_json: AsJson = False) -> None:
    """Show the local cluster's processes and jobs; exit code 1 when it does not run."""
    from streamgauge.jobs.cluster import local_cluster  # noqa: PLC0415

    with clear_errors():
        seen = local_cluster.status(home)
    if as_json:
        print_json(seen)
    elif not seen["processes"]:
        console.print("no local cluster; `streamgauge up` starts one")
    else:
        table = Table()
        for column in ("process", "pid", "state", "memory"):
            table.add_column(column)
        for p in seen["processes"]:
            state = "[green]runs[/]" if p["alive"] else "[red]died[/]"
            table.add_row(p["role"], str(p["pid"]), state, f"{p['rss_mb']} MB" if p["alive"] else "")
        for job in seen["jobs"]:
            table.add_row(f"job {job['name']}", job["jid"], job["state"], "")
        console.print(table)
        console.print(f"Kafka {seen['kafka']}   Flink UI {seen['flink_ui']}")
    if not seen["running"]:
        raise typer.Exit(1)


@app.command(epilog="Example: `streamgauge doctor --settings production.yaml`")
def doctor(settings: SettingsFile = None, home: Home = None, as_json: AsJson = False) -> None:
    """Check Java, packages, ports, memory, topics, and that producers key by entity; exit code 1 on a failure."""
    from streamgauge.jobs.cluster.doctor import examine  # noqa: PLC0415
    from streamgauge.jobs.settings.loading import load  # noqa: PLC0415

    with clear_errors():
        findings = examine(load(settings), home)
    if as_json:
        print_json([{"check": f.check, "state": f.state, "message": f.message} for f in findings])
    else:
        signs = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "failure": "[red]failure[/]"}
        table = Table(show_header=False)
        for finding in findings:
            table.add_row(finding.check, signs[finding.state], finding.message)
        console.print(table)
    if any(f.state == "failure" for f in findings):
        raise typer.Exit(1)


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
    import os  # noqa: PLC0415

    from streamgauge.jobs.cluster.submit import submit as submit_job  # noqa: PLC0415
    from streamgauge.jobs.kafka.topics import ensure  # noqa: PLC0415
    from streamgauge.jobs.settings.loading import load  # noqa: PLC0415

    with clear_errors():
        if python_mode is not None:
            os.environ["STREAMGAUGE__JOB__EXECUTION"] = python_mode
        loaded = load(settings)
        with kernels_for_job(home, loaded, remote=jobmanager is not None or target != "remote"):
            created = ensure(loaded.kafka, max(4, loaded.batch.shards))
        if created:
            console.print(f"created topics {', '.join(created)}")
        with console.status("submitting"):
            job = submit_job(
                loaded, settings, jobmanager=jobmanager, target=target, from_savepoint=from_savepoint,
                options=tuple(context.args), home=home,
            )  # fmt: skip
    console.print(f"job {job} runs")
    if as_json:
        print_json({"job": job})


@app.command(
    epilog="Example: `streamgauge stop` prints the savepoint; `streamgauge submit --from-savepoint ...` goes on from it"
)
def stop(
    job: Annotated[str | None, typer.Argument(help="The job's id; the only one running by default.")] = None,
    jobmanager: JobManager = None,
    savepoints: Annotated[str | None, typer.Option(help="Folder of the savepoint, where Flink can write.")] = None,
    home: Home = None,
) -> None:
    """Stop the job with a savepoint: nothing is lost, and it can go on from there."""
    from streamgauge.jobs.cluster.local_cluster import running_cluster  # noqa: PLC0415
    from streamgauge.jobs.cluster.submit import FlinkRest  # noqa: PLC0415

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


@app.command(epilog="Example: `streamgauge replay cards.csv --entity-column card --time-column ts --speed-up 60`")
def replay(
    files: Annotated[list[Path], typer.Argument(help="CSV, JSONL or Parquet.")],
    settings: SettingsFile = None,
    entity_column: Annotated[
        str | None, typer.Option(help="Column with the entity; the file's name by default.")
    ] = None,
    time_column: Annotated[str | None, typer.Option(help="Column with the event time.")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Column not to send (a label, say); repeatable.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Events a second.")] = None,
    speed_up: Annotated[float | None, typer.Option(min=0.001, help="Times faster than the events' own time.")] = None,
    topic: Annotated[str | None, typer.Option(help="Topic to send to; kafka.topics.events by default.")] = None,
) -> None:
    """Send files to the events topic, several side by side, as fast as possible unless told otherwise.

    Kafka's timestamp is the event's time: give the topic a retention that keeps old ones.
    """
    from streamgauge.jobs.files.read_files import count_rows  # noqa: PLC0415
    from streamgauge.jobs.kafka.replay import Pace  # noqa: PLC0415
    from streamgauge.jobs.kafka.replay import replay as send  # noqa: PLC0415
    from streamgauge.jobs.kafka.topics import ensure  # noqa: PLC0415
    from streamgauge.jobs.settings.loading import load, validated  # noqa: PLC0415

    with clear_errors():
        if rate is not None and speed_up is not None:
            raise InputError("--rate and --speed-up exclude each other")
        if speed_up is not None and time_column is None:
            raise InputError("--speed-up needs --time-column")
        loaded = load(settings)
        if topic is not None:
            values = loaded.model_dump()
            values["kafka"]["topics"]["events"] = topic
            loaded = validated(values, "--topic")
        need_files(files)
        ensure(loaded.kafka)
        with _bar() as bar:
            task = bar.add_task("events", total=sum(map(count_rows, files)))
            sent = send(
                files, loaded, entity_column=entity_column, time_column=time_column, drop=tuple(drop or ()),
                pace=Pace(rate, speed_up), on_sent=lambda *_: bar.advance(task),
            )  # fmt: skip
    console.print(f"sent {sent} events to {loaded.kafka.topics.events}")


@app.command(epilog="Example: `streamgauge alerts --from-beginning --severity high --json | jq .data.entity`")
def alerts(
    settings: SettingsFile = None,
    from_beginning: Annotated[bool, typer.Option(help="Those already there too.")] = False,
    entity: Annotated[str | None, typer.Option(help="Only of this entity.")] = None,
    severity: Annotated[Literal["low", "medium", "high", "critical"], typer.Option(help="At least so severe.")] = "low",
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    idle: Annotated[float | None, typer.Option(min=0.1, help="End when none came for so many seconds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One alert a line.")] = False,
) -> None:
    """Follow the alert topic."""
    from streamgauge.jobs.kafka.follow import alert_table, follow, wanted  # noqa: PLC0415
    from streamgauge.jobs.settings.loading import load  # noqa: PLC0415

    shown: list[dict[str, Any]] = []
    count = 0
    with clear_errors():
        stream = follow(load(settings).kafka, from_beginning, idle)
        try:
            with Live(console=console, refresh_per_second=4) if not as_json else Progress(disable=True) as view:
                for received in stream:
                    if received is not None and wanted(received.alert, entity, severity):
                        count += 1
                        if as_json:
                            sys.stdout.write(json.dumps(received.alert) + "\n")
                            sys.stdout.flush()
                        shown = [*shown[-19:], received.alert]
                    if isinstance(view, Live):
                        view.update(alert_table(shown, f"{count} alerts (Ctrl-C ends)"))
                    if limit is not None and count >= limit:
                        break
        except KeyboardInterrupt:
            pass
        finally:
            stream.close()  # type: ignore[attr-defined]


@app.command(epilog="Example: `streamgauge backtest examples/nab/*.csv --time-column timestamp --scores scores.csv`")
def backtest(
    files: Annotated[list[Path], typer.Argument(help="CSV, JSONL or Parquet; each is a stream of its own.")],
    settings: SettingsFile = None,
    entity_column: Annotated[
        str | None, typer.Option(help="Column with the entity; the file's name by default.")
    ] = None,
    time_column: Annotated[str | None, typer.Option(help="Column with the event time.")] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column that is above 0 for anomalies; only judged by.")
    ] = None,
    scores: Annotated[Path | None, typer.Option(help="CSV to write: row, entity, score, alert.")] = None,
    alerts_out: Annotated[Path | None, typer.Option("--alerts", help="JSONL to write the alerts to.")] = None,
    one_stream: Annotated[bool, typer.Option(help="The files are one stream, one after the other.")] = False,
    partitions: Annotated[int, typer.Option(min=1, help="Kafka partitions to act as.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Run the job's pipeline on files in row order, without Flink, on all cores.

    `alert` is 1 for rows at or beyond the threshold; a row that is a dead letter or late has score 0.
    """
    from streamgauge.jobs.settings.loading import load  # noqa: PLC0415
    from streamgauge.jobs.studies import backtest as backtests  # noqa: PLC0415

    with clear_errors():
        results = _backtested(
            files, load(settings), entity_column, time_column, label_column, one_stream, partitions
        )  # fmt: skip
        if scores is not None:
            backtests.write_scores(results, scores)
        if alerts_out is not None:
            with alerts_out.open("wb") as out:
                out.writelines(alert + b"\n" for result in results for alert in result.alerts)
    told = backtests.summary(results)
    if as_json:
        print_json(told)
    else:
        table = Table(show_header=False)
        for name, value in told.items():
            table.add_row(name.replace("_", " "), f"{value:.4f}" if isinstance(value, float) else str(value))
        console.print(table)


@app.command(
    epilog="Example: `streamgauge evaluate cards.csv --entity-column card --label-column fraud --page report.html`"
)
def evaluate(
    files: Annotated[
        list[Path], typer.Argument(help="CSV, JSONL or Parquet with labels; each is a stream of its own.")
    ],
    label_column: Annotated[str, typer.Option(help="Column that is above 0 for anomalies; only judged by.")],
    settings: SettingsFile = None,
    entity_column: Annotated[
        str | None, typer.Option(help="Column with the entity; the file's name by default.")
    ] = None,
    time_column: Annotated[str | None, typer.Option(help="Column with the event time.")] = None,
    page: Annotated[Path, typer.Option(help="HTML page to write.")] = Path("evaluation.html"),
    missed_cost: Annotated[float, typer.Option(min=0, help="Cost of an anomaly without an alert.")] = 10.0,
    false_cost: Annotated[float, typer.Option(min=0, help="Cost of an alert without an anomaly.")] = 1.0,
    against: Annotated[
        float | None, typer.Option(min=1e-300, max=0.5, help="A second threshold, tried on half of the entities.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score labelled files and write one page with all figures, intervals, thresholds and plots."""
    from streamgauge.jobs.settings.loading import load  # noqa: PLC0415
    from streamgauge.jobs.studies import evaluate as evaluation  # noqa: PLC0415

    with clear_errors():
        loaded = load(settings)
        results = _backtested(files, loaded, entity_column, time_column, label_column)
        figures, html = evaluation.evaluate(results, loaded.decide.threshold, missed_cost, false_cost, against)
        _write(page, html)
    console.print(f"wrote {page}")
    if as_json:
        print_json(figures)
    else:
        table = Table("figure", "value", "95 % interval")
        for name, (low, high) in figures["intervals"].items():
            table.add_row(name, f"{figures[name]:.3f}", f"{low:.3f} to {high:.3f}")
        console.print(table)
        if "trial" in figures:
            trial = figures["trial"]
            console.print(
                f"{trial['verdict']}: precision differs by {trial['difference']} ({trial['low']} to {trial['high']})"
            )


@app.command(epilog="Example: `streamgauge weigh cards.csv --entity-column card --label-column fraud --send`")
def weigh(
    files: Annotated[list[Path], typer.Argument(help="CSV, JSONL or Parquet; each is a stream of its own.")],
    settings: SettingsFile = None,
    entity_column: Annotated[str | None, typer.Option(help="Column with the entity.")] = None,
    time_column: Annotated[str | None, typer.Option(help="Column with the event time.")] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column above 0 for anomalies; without it, agreement decides.")
    ] = None,
    send: Annotated[bool, typer.Option(help="Give running jobs these weights, over the control topic.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure what each member of the ensemble is worth on your files, and propose weights."""
    from streamgauge.jobs.kafka.topics import send_control  # noqa: PLC0415
    from streamgauge.jobs.settings.loading import load  # noqa: PLC0415
    from streamgauge.jobs.studies import weigh as weighing  # noqa: PLC0415
    from streamgauge.udfs.control.messages import Weights  # noqa: PLC0415

    with clear_errors():
        loaded = load(settings)
        told = weighing.weigh(_backtested(files, loaded, entity_column, time_column, label_column))
        if send:
            weights = {one["member"]: one["weight"] for one in told}
            send_control(loaded.kafka, Weights(type="weights", weights=weights))
            console.print(f"told the jobs on {loaded.kafka.topics.control}")
    if as_json:
        print_json(told)
    else:
        columns = list(told[0])
        table = Table(*(column.replace("_", " ") for column in columns))
        for one in told:
            table.add_row(*(f"{one[c]:.3f}" if isinstance(one[c], float) else one[c] for c in columns))
        console.print(table)


def _write(path: Path, text: str) -> None:
    """A file; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _backtested(
    files: list[Path],
    settings: Any,
    entity_column: str | None,
    time_column: str | None,
    label_column: str | None,
    one_stream: bool = False,
    partitions: int = 1,
) -> list[Any]:
    """Results of files, with a progress bar."""
    from streamgauge.jobs.files.read_files import count_rows  # noqa: PLC0415
    from streamgauge.jobs.studies.backtest import backtest as run_backtest  # noqa: PLC0415

    need_files(files)
    with _bar() as bar:
        task = bar.add_task("rows", total=sum(map(count_rows, files)))
        return run_backtest(
            files, settings, entity_column=entity_column, time_column=time_column, label_column=label_column,
            one_stream=one_stream, partitions=partitions, on_rows=lambda n: bar.advance(task, n),
        )  # fmt: skip


@app.command(epilog="Example: `streamgauge benchmark nab --data ../data --json`")
def benchmark(
    suite: Annotated[Literal["nab", "kdd", "tabular", "skab"], typer.Argument(help="Which public benchmark.")],
    data: Annotated[Path, typer.Option(help="Folder with its archive, or with it unpacked.")],
    settings: SettingsFile = None,
    table_out: Annotated[
        Path | None, typer.Option("--table", help="Page to write; docs/scores-SUITE.md where there is a docs folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure how well the pipeline detects: one configuration, row by row, no labels seen."""
    from streamgauge.jobs.settings.loading import load  # noqa: PLC0415
    from streamgauge.jobs.studies import benchmark as benchmarks  # noqa: PLC0415

    with clear_errors():
        with Progress(*Progress.get_default_columns()[:1], TextColumn("{task.completed} rows"), console=console) as bar:
            task = bar.add_task(suite, total=None)
            figures = benchmarks.run(suite, data, load(settings), lambda n: bar.advance(task, n))
        if table_out is None and Path("docs").is_dir():
            table_out = Path("docs") / f"scores-{suite}.md"
        if table_out is not None:
            _write(table_out, benchmarks.table(suite, figures))
            console.print(f"wrote {table_out}")
    if as_json:
        print_json(figures)
    else:
        sets = figures.get("sets", [])
        if sets:
            each = Table(*(name.replace("_", " ") for name in sets[0]))
            for row in sets:
                each.add_row(*map(benchmarks.cell, row.values()))
            console.print(each)
        shown = Table(show_header=False)
        for name, value in figures.items():
            if name != "sets":
                shown.add_row(name.replace("_", " "), benchmarks.cell(value))
        console.print(shown)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)
