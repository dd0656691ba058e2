"""The demo: real series through a real Kafka and a real Flink cluster, and what was found."""

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
import yaml
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from streamgauge.jobs.cluster import local_cluster
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.home import writable
from streamgauge.jobs.cluster.kernels import compiling
from streamgauge.jobs.cluster.resources import demo_series
from streamgauge.jobs.cluster.submit import submit
from streamgauge.jobs.files.read_files import Columns
from streamgauge.jobs.kafka.follow import Received, alert_table, follow
from streamgauge.jobs.kafka.replay import Pace, Sent, replay
from streamgauge.jobs.kafka.topics import ensure
from streamgauge.jobs.settings.loading import Settings, load, validated

RATE = 2_500.0  # events a second: some hours of most series every second
QUIET_SECONDS = 2.0
PARTITIONS = 32  # the series have nothing in common: hardly any two should share a cohort


@dataclass
class Found:
    """What the demo saw.

    Attributes
    ----------
    alerts : list of dict
    opened : dict
        By entity: rows at which an incident opened.
    latencies_ms : list of float
        From handing an event to the producer to its alert on the alert topic.
    first_alert_s : float or None
        From the start of the demo.
    """

    alerts: list[dict[str, Any]] = field(default_factory=list)
    opened: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    latencies_ms: list[float] = field(default_factory=list)
    first_alert_s: float | None = None


def run(output: Path, keep: bool, console: Console, home: Path | None = None) -> dict[str, Any]:
    """Play the demo.

    Parameters
    ----------
    output : Path
        Folder for the picture and the alerts.
    keep : bool
        Leave the cluster and the job running.
    console : Console
    home : Path, optional
        Folder of the local cluster.

    Returns
    -------
    dict
        The figures.
    """
    files = sorted(demo_series().glob("*.csv"))
    started = time.time()
    home = writable(home)
    running_before = local_cluster.status(home)["running"]
    settings = load()
    pipeline = settings.pipeline().model_dump_json()
    with console.status("starting Kafka and Flink"), compiling(home, pipeline, console.log):
        cluster = local_cluster.up(home=home, say=console.log)
    settings, settings_file = on_own_topics(settings, cluster, f"demo-{int(started)}")
    with console.status("submitting the job"):
        ensure(settings.kafka, PARTITIONS)
        job = submit(settings, settings_file, jobmanager=cluster.jobmanager, home=home)
    rest = FlinkRest(cluster.jobmanager)
    console.log(f"job {job} runs: [link={cluster.ui}]{cluster.ui}[/link]")
    found = _play(files, settings, console, started, lambda: rest.operator_counter(job, "events"))
    figures = _figures(files, found)
    output.mkdir(parents=True, exist_ok=True)
    picture = output / "alerts.png"
    draw(files, found.opened, picture)
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
        console.print(f"still running: Flink UI {cluster.ui}, Kafka {cluster.bootstrap}; `streamgauge down` stops both")
    else:
        rest.cancel(job)
        if not running_before:
            local_cluster.down(home)
        console.print("stopped; KEEP=1 make demo leaves the Flink UI open")
    return figures


def on_own_topics(settings: Settings, cluster: local_cluster.Cluster, run: str) -> tuple[Settings, Path]:
    """Settings on the local broker and topics of one run's own, and a file with them."""
    values = settings.model_dump(mode="json")
    values["kafka"] |= {
        "bootstrap": cluster.bootstrap,
        "start": "earliest",
        "group": run,
        "topics": {name: f"{run}-{topic}" for name, topic in values["kafka"]["topics"].items()},
    }
    path = cluster.home / f"{run.partition('-')[0]}.yaml"
    path.write_text(yaml.safe_dump(values))
    return validated(values, str(path)), path


def _play(files: list[Path], settings: Settings, console: Console, started: float, scored: Callable[[], int]) -> Found:
    """Send all series side by side, and gather the alerts as they come, until all events are scored."""
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
        except BaseException as error:  # handed to the main thread
            errors.append(error)

    found = Found()
    received: list[Received] = []
    sender = threading.Thread(target=send, daemon=True)
    last = time.time()
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        for item in follow(settings.kafka, from_beginning=True):
            if sender.ident is None:
                sender.start()
            if item is not None:
                received.append(item)
                found.alerts.append(item.alert)
                found.first_alert_s = found.first_alert_s or item.appended - started
                last = time.time()
            recent = [a for a in found.alerts if a["data"]["state"] == "opened"][-12:]
            live.update(Group(bar, alert_table(recent, f"{len(found.alerts)} alerts")))
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
    """A series, and its labelled windows as first and last row."""
    frame = pd.read_csv(file, parse_dates=["timestamp"])
    labels = json.loads((demo_series() / "windows.json").read_text())[file.stem]
    windows = []
    for first, last in labels:
        rows = np.flatnonzero((frame["timestamp"] >= first) & (frame["timestamp"] <= last))
        windows.append((int(rows[0]), int(rows[-1])))
    return frame, windows


def _figures(files: list[Path], found: Found) -> dict[str, Any]:
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


def draw(files: list[Path], opened: dict[str, list[int]], path: Path) -> None:
    """One panel a series: its values, the labelled windows, and where incidents opened."""
    import matplotlib as mpl  # noqa: PLC0415  a second to import

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(len(files), 1, figsize=(13, 1.75 * len(files)), layout="constrained")
    for axis, file in zip(np.atleast_1d(axes), files, strict=True):
        frame, windows = windows_of(file)
        values = frame["value"].to_numpy()
        axis.plot(values, color="#33475b", linewidth=0.6)
        for k, (first, last) in enumerate(windows):
            axis.axvspan(
                first, last, color="#f6c344", alpha=0.4, linewidth=0, label="labelled window" if k == 0 else None
            )
        for inside in (True, False):
            rows = [r for r in opened.get(file.stem, []) if any(a <= r <= b for a, b in windows) == inside]
            if rows:
                axis.plot(
                    rows, values[rows], "o" if inside else "x", color="#1a7f37" if inside else "#d1242f", markersize=6,
                    label="alert in a window" if inside else "alert elsewhere",
                )  # fmt: skip
        axis.set_title(file.stem.replace("_", " "), loc="left", fontsize=9, pad=3)
        axis.tick_params(labelsize=7)
        axis.margins(x=0.005)
        axis.spines[["top", "right"]].set_visible(False)
    handles: dict[str, Any] = {}
    for axis in np.atleast_1d(axes):
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc="upper right", ncols=3, fontsize=8, frameon=False)
    figure.suptitle("Streamgauge: incidents opened, one configuration for all series", x=0.01, ha="left", fontsize=11)
    figure.savefig(path, dpi=110)
    plt.close(figure)
