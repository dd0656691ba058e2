"""The command that reports on a period of a running job."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from streamgauge.jobs.commands.options import AsJson, SettingsFile
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json, progress, write_text
from streamgauge.jobs.pages.report_page import page
from streamgauge.jobs.settings.loading import load
from streamgauge.jobs.studies import report as reporting
from streamgauge.models.errors import InputError
from streamgauge.udfs.settings.base import milliseconds

app = command_line()


@app.command(epilog="Example: `streamgauge report --since 7d --output week.html`")
def report(
    since: Annotated[str, typer.Option(help="How far back: 90s, 30m, 24h, 7d.")] = "24h",
    output: Annotated[Path, typer.Option(help="HTML page to write.")] = Path("report.html"),
    replay: Annotated[
        int,
        typer.Option(
            min=0,
            help="How many of the newest events are scored again, with feedback and without, if there is any; 0 is none.",
        ),
    ] = 200_000,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Write a page about a period: alerts, precision, recall, calibration, latency, models, and what feedback changed."""
    now = int(time.time() * 1000)
    with clear_errors():
        try:
            begin = now - milliseconds(since)
        except ValueError as error:
            raise InputError(f"--since {since!r}: {error}") from error
        loaded = load(settings)
        with progress() as bar:
            task = bar.add_task("with and without feedback", total=None, visible=False)
            found = reporting.find(
                loaded, begin, replay, lambda done, total: bar.update(task, completed=done, total=total, visible=True)
            )
        figures = reporting.figures_of(found)
        write_text(output, page(found, figures, loaded.job.name, begin, now))
    if as_json:
        print_json(figures)
    console.print(f"wrote {output}: {figures['alerts']} incidents in {figures['events']} tracked events")
    for model, counts in figures["retraining"].items():
        for why, times in counts["rejected"].items():
            console.print(f"{model}: {times} candidate{'s' * (times > 1)} rejected, {why}", highlight=False)
