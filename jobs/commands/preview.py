"""The command that scores the past of a topic."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from streamgauge.jobs.commands.backtest import show, tell, write_alerts
from streamgauge.jobs.commands.options import AsJson, SettingsFile
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, progress, write_text
from streamgauge.jobs.kafka.event_topics import one_topic
from streamgauge.jobs.settings.loading import Settings, load
from streamgauge.jobs.studies import preview as previewing
from streamgauge.jobs.studies.backtest import Backtest
from streamgauge.jobs.studies.preview import Past, TopicSource
from streamgauge.models.errors import InputError
from streamgauge.udfs.settings.base import milliseconds

app = command_line()
SHOWN = (  # of the figures, in the terminal; the others are for programs
    "topic",
    "from",
    "to",
    "events",
    "entities",
    "unjudged",
    "unread",
    "late",
    "incidents",
    "days",
    "promised_a_day",
    "opened_a_day",
)


@app.command(epilog="Example: `streamgauge preview --topic events --last 7d --settings detection.yaml`")
def preview(
    topic: Annotated[
        str | None, typer.Option(help="Topic with the events; needed if the settings name several.")
    ] = None,
    last: Annotated[str, typer.Option(help="How far back, by Kafka's timestamps: 90s, 30m, 24h, 7d.")] = "7d",
    most: Annotated[int, typer.Option(min=1, help="Largest number of records; the newest ones are scored.")] = 500_000,
    settings: SettingsFile = None,
    page: Annotated[Path, typer.Option(help="HTML page to write.")] = Path("preview.html"),
    alerts: Annotated[Path | None, typer.Option(help="JSONL file to write the alerts to.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score the past of a topic with the job's own pipeline, without Flink; write a page about what would have been told.

    The page shows how many incidents were promised and how many opened, by age of the entities, and the incidents on their series.
    Nothing is written to Kafka, and no offset is committed.
    """
    with clear_errors():
        try:
            since = int(time.time() * 1000) - milliseconds(last)
        except ValueError as error:
            raise InputError(f"--last {last!r}: {error}") from error
        loaded = load(settings)
        past, result = previewed(loaded, one_topic(loaded.kafka, topic), max(since, 0), most)
        if alerts is not None:
            write_alerts([result], alerts)
    notes = previewing.notes(past, result, loaded, last)
    figures = previewing.figures_of(past, result)
    if figures["events"] > len(past.records):
        notes.append(
            "Some records hold several events. All are scored; the series on the page show the last one of each record."
        )
    shown = {name: value for name, value in figures.items() if name in SHOWN or name.startswith("dead_letters.")}
    show(figures if as_json else shown, as_json)
    tell(notes)
    from streamgauge.jobs.pages.backtest_page import page as page_of  # noqa: PLC0415 - needs matplotlib

    with clear_errors():
        write_text(page, page_of(TopicSource(past, loaded.event), [result], loaded, "Preview", notes))
    console.print(f"wrote {page}", soft_wrap=True, highlight=False)


def previewed(settings: Settings, topic: str, since: int, most: int) -> tuple[Past, Backtest]:
    """Read the past of a topic and score it, with a progress bar for each; see `streamgauge.jobs.studies.preview`."""
    with progress() as bar:
        reading = bar.add_task("reading", total=None)
        past = previewing.read_past(
            settings.kafka, topic, since, most, lambda done, total: bar.update(reading, completed=done, total=total)
        )
        bar.update(reading, completed=len(past.records), total=len(past.records))
        scoring = bar.add_task("scoring", total=len(past.records))
        return past, previewing.preview(past, settings, lambda n: bar.advance(scoring, n))
