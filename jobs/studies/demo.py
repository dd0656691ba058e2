"""The demo: send real series through a real Kafka and a real Flink cluster, and show what was found."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from streamgauge.jobs.cluster import local_cluster, local_service
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.home import writable
from streamgauge.jobs.cluster.kernels import compiling
from streamgauge.jobs.cluster.resources import demo_series
from streamgauge.jobs.cluster.submit import submit
from streamgauge.jobs.files.read_files import Columns
from streamgauge.jobs.kafka.alert_lines import AlertLines
from streamgauge.jobs.kafka.follow import Received, follow
from streamgauge.jobs.kafka.replay import Pace, Sent, replay
from streamgauge.jobs.kafka.topics import ensure
from streamgauge.jobs.pages.demo_plot import PlottedSeries, draw
from streamgauge.jobs.settings.loading import Settings, as_file, load, parsed
from streamgauge.models.errors import ClusterError

RATE = 2_500.0  # events a second; for most series these are some hours of data
QUIET_SECONDS = 2.0  # without an alert, before the demo may end
PARTITIONS = 32  # so many that hardly any two series share a cohort, because they have nothing in common


@dataclass
class DemoResult:
    """What came of the demo.

    Attributes
    ----------
    alerts : list of dict
    opened : dict
        By entity: rows at which an incident opened.
    latencies_ms : list of float
        Milliseconds between handing an event to the producer and its alert on the alert topic.
    first_alert_s : float or None
        Seconds between the start of the demo and the first alert.
    """

    alerts: list[dict[str, Any]] = field(default_factory=list)
    opened: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    latencies_ms: list[float] = field(default_factory=list)
    first_alert_s: float | None = None


def run(
    output: Path, keep: bool, console: Console, home: Path | None = None, settings_file: Path | None = None
) -> dict[str, Any]:
    """Run the demo.

    Parameters
    ----------
    output : Path
        Folder for the picture and the alerts.
    keep : bool
        Leave the cluster, the job and the page running.
    console : Console
    home : Path, optional
        Folder of the local cluster.
    settings_file : Path, optional
        How the job detects. Its addresses and topics are replaced by those of the demo.

    Returns
    -------
    dict
        The figures.
    """
    files = sorted(demo_series().glob("*.csv"))
    started = time.time()
    home = writable(home)
    running_before = local_cluster.status(home)["running"]
    settings = load(settings_file)
    pipeline = settings.pipeline().model_dump_json()
    with console.status("starting Kafka and Flink"), compiling(home, pipeline, console.log):
        cluster = local_cluster.up(home=home, say=console.log)
    settings, own_file = on_own_topics(settings, cluster, f"demo-{int(started)}")
    ensure(settings.kafka, PARTITIONS)
    page = _start_page(cluster, own_file, settings.service.port, console)
    with console.status("submitting the job"):
        job = submit(settings, own_file, jobmanager=cluster.jobmanager, home=home)
    rest = FlinkRest(cluster.jobmanager)
    console.log(f"job {job} runs: [link={cluster.ui}]{cluster.ui}[/link]", markup=True)
    page = _shown_page(cluster, page, console)
    found = _play(files, settings, console, started, lambda: rest.operator_counter(job, "events"))
    figures = _figures(files, found)
    output.mkdir(parents=True, exist_ok=True)
    picture = output / "alerts.png"
    draw([_plotted(file, found.opened.get(file.stem, [])) for file in files], picture)
    with (output / "alerts.jsonl").open("w") as file:
        file.writelines(json.dumps(alert) + "\n" for alert in found.alerts)
    console.print(_table(figures))
    console.print(
        f"{figures['windows_found']} of {figures['windows']} labelled windows found, {figures['false_alarms']} false alarms in "
        f"{figures['rows']} rows; latency p50 {figures['p50_ms']:.0f} ms, p95 {figures['p95_ms']:.0f} ms; "
        f"first alert {found.first_alert_s or 0:.0f} s after the start"
    )
    console.print(f"picture: {picture}   alerts: {output / 'alerts.jsonl'}")
    if keep:
        shown = f"page {page}, " if page else ""
        console.print(f"still running: {shown}Flink UI {cluster.ui}, Kafka {cluster.bootstrap}", soft_wrap=True)
        console.print("`streamgauge down` stops them")
    else:
        rest.cancel(job)
        local_service.stop(cluster)
        if not running_before:
            local_cluster.down(home)
        console.print("stopped; KEEP=1 make demo leaves the page and the Flink UI open")
    return figures | {"page": page if keep else None}


def _start_page(cluster: local_cluster.Cluster, settings_file: Path, port: int, console: Console) -> str | None:
    """Start the service beside the job. Returns the address of its page; None if its packages are not installed."""
    if not local_service.installed():
        console.log("no page: it needs pip install 'streamgauge\\[serve]'")
        return None
    local_service.stop(cluster)
    for history in cluster.home.glob("demo-history.db*"):  # incidents of an earlier demo would stay open for ever
        history.unlink()
    return local_service.start(cluster, settings_file, port)


def _shown_page(cluster: local_cluster.Cluster, page: str | None, console: Console) -> str | None:
    """Say where the page is, as soon as it answers. Without it the demo goes on."""
    if page is None:
        return None
    try:
        local_service.wait(cluster, page)
    except ClusterError as error:
        console.log(f"no page: {error}", markup=False)
        return None
    console.log(f"the incidents are on a page: [link={page}]{page}[/link]", markup=True)
    return page


def on_own_topics(settings: Settings, cluster: local_cluster.Cluster, run: str) -> tuple[Settings, Path]:
    """Settings for the local broker, with topics that only this run uses, and a file with these settings."""
    kind = run.partition("-")[0]
    history = f"sqlite:///{cluster.home / f'{kind}-history.db'}"
    kafka = {
        "bootstrap": cluster.bootstrap,
        "start": "earliest",
        "group": run,
        "topics": settings.kafka.topics.prefixed(run),
    }
    service = {"database": history, "port": settings.service.port}  # nobody is told of a demo
    path = cluster.home / f"{kind}.yaml"
    text = as_file(settings, {"kafka": kafka, "service": service})
    path.write_text(text)
    return parsed(text, str(path)), path


def _play(
    files: list[Path], settings: Settings, console: Console, started: float, scored: Callable[[], int]
) -> DemoResult:
    """Send all series at the same time, and collect the alerts until all events are scored."""
    total = sum(len(pd.read_csv(file, usecols=[0])) for file in files)
    places: dict[tuple[int, int], Sent] = {}
    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    task = bar.add_task(f"{len(files)} series, {RATE:.0f} events/s", total=total)
    errors: list[BaseException] = []

    def on_sent(sent: Sent, future: Any) -> None:
        future.add_callback(lambda where: places.__setitem__((where.partition, where.offset), sent))
        bar.advance(task)

    def send() -> None:
        try:
            replay(files, settings, Columns(time="timestamp"), pace=Pace(rate=RATE), on_sent=on_sent)
        except BaseException as error:  # raised again by the main thread
            errors.append(error)

    found = DemoResult()
    received: list[Received] = []
    sender = threading.Thread(target=send, daemon=True)
    last = time.time()
    lines = AlertLines(console.width)
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        for item in follow(settings.kafka, from_beginning=True):
            if sender.ident is None:
                sender.start()
            if item is not None:
                received.append(item)
                found.alerts.append(item.alert)
                if found.first_alert_s is None:
                    found.first_alert_s = item.appended - started
                    console.log(f"first alert {found.first_alert_s:.0f} s after the start")
                last = time.time()
            recent = [a for a in found.alerts if a["data"]["state"] == "opened"][-12:]
            live.update(Group(bar, f"{len(found.alerts)} alerts", lines.heading(), *map(lines.line, recent)))
            if errors:
                raise errors[0]
            if not sender.is_alive() and time.time() - last > QUIET_SECONDS and scored() >= total:
                break
    for item in received:
        data = item.alert["data"]
        sent = places.get((data["source"]["partition"], data["source"]["offset"]))
        if sent is not None and data["state"] == "opened":
            found.opened[data["entity"]].append(sent.row)
            found.latencies_ms.append((item.appended - sent.at) * 1000)
    return found


def windows_of(file: Path) -> tuple[pd.DataFrame, list[tuple[int, int]]]:
    """A series, and the first and last row of each of its labelled windows."""
    frame = pd.read_csv(file, parse_dates=["timestamp"])
    labels = json.loads((demo_series() / "windows.json").read_text())[file.stem]
    windows = []
    for first, last in labels:
        rows = np.flatnonzero((frame["timestamp"] >= first) & (frame["timestamp"] <= last))
        windows.append((int(rows[0]), int(rows[-1])))
    return frame, windows


def _plotted(file: Path, opened: list[int]) -> PlottedSeries:
    frame, windows = windows_of(file)
    return PlottedSeries(file.stem, frame["value"].to_numpy(), windows, opened)


def _figures(files: list[Path], found: DemoResult) -> dict[str, Any]:
    series: list[dict[str, Any]] = []
    for file in files:
        frame, windows = windows_of(file)
        rows = sorted(found.opened.get(file.stem, []))
        hit = sum(any(a <= row <= b for row in rows) for a, b in windows)
        false = sum(not any(a <= row <= b for a, b in windows) for row in rows)
        series.append(
            {
                "series": file.stem,
                "rows": len(frame),
                "windows": len(windows),
                "windows_found": hit,
                "false_alarms": false,
            }
        )
    latencies = found.latencies_ms or [float("nan")]
    totals = {key: sum(s[key] for s in series) for key in ("rows", "windows", "windows_found", "false_alarms")}
    return totals | {
        "p50_ms": float(np.percentile(latencies, 50)),
        "p95_ms": float(np.percentile(latencies, 95)),
        "first_alert_s": found.first_alert_s,
        "series": series,
    }


def _table(figures: dict[str, Any]) -> Table:
    table = Table(title="labelled windows found")
    for column in ("series", "rows", "windows", "found", "false alarms"):
        table.add_column(column, justify="left" if column == "series" else "right")
    for s in figures["series"]:
        table.add_row(s["series"], *(str(s[key]) for key in ("rows", "windows", "windows_found", "false_alarms")))
    return table
