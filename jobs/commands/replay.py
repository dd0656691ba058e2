"""The command that sends files to the events topic."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from streamgauge.jobs.commands.columns import EventColumns, tell_of_files
from streamgauge.jobs.commands.options import AsJson, SettingsFile, with_options
from streamgauge.jobs.commands.terminal import clear_errors, command_line, progress, tell
from streamgauge.jobs.files.not_read import NotRead
from streamgauge.jobs.files.read_files import count_rows
from streamgauge.jobs.files.sources import is_jsonl, local
from streamgauge.jobs.kafka import replay as replaying
from streamgauge.jobs.kafka.event_topics import one_topic
from streamgauge.jobs.kafka.replay import Pace
from streamgauge.jobs.kafka.topics import ensure
from streamgauge.jobs.settings.loading import load, validated
from streamgauge.models.errors import InputError

app = command_line()


@app.command(epilog="Example: `streamgauge replay cards.csv --entity-column card --time-column ts --speed-up 60`")
@with_options
def replay(
    files: Annotated[list[Path], typer.Argument(help="CSV, JSONL or Parquet.")],
    columns: EventColumns,
    settings: SettingsFile = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="Column that is not sent, such as a label; repeatable.")
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Events a second.")] = None,
    speed_up: Annotated[
        float | None, typer.Option(min=0.001, help="How many times faster than the events' own times.")
    ] = None,
    topic: Annotated[
        str | None, typer.Option(help="Topic to send to; by default the first of kafka.topics.events.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send files to the events topic, all at the same time; without --rate or --speed-up as fast as possible.

    A line of JSONL is sent unchanged, unless a column is left out or gets another name.
    Kafka's timestamp is the time of the event, so the topic needs a retention that keeps old events.
    """
    report = NotRead()
    with clear_errors(), ExitStack() as stack:
        if rate is not None and speed_up is not None:
            raise InputError("--rate and --speed-up exclude each other")
        if speed_up is not None and columns.time_column is None and not all(map(is_jsonl, files)):
            raise InputError("--speed-up needs --time-column")
        copies = stack.enter_context(local(files))
        loaded = load(settings)
        topic = topic or loaded.kafka.topics.event_topics.first or one_topic(loaded.kafka)
        if topic != loaded.kafka.topics.events:
            values = loaded.model_dump()
            values["kafka"]["topics"] |= {"events": topic, "events_pattern": None}
            loaded = validated(values, "--topic")
        chosen, pace = columns.columns(drop=drop), Pace(rate, speed_up)
        ensure(loaded.kafka)
        with progress() as bar:
            task = bar.add_task("events", total=sum(map(count_rows, copies)))
            sent = replaying.replay(
                copies, loaded, chosen, pace=pace, report=report, on_sent=lambda *_: bar.advance(task)
            )
    tell({"events": sent, "topic": topic, "not_read": report.as_list()}, as_json, f"sent {sent} events to {topic}")
    tell_of_files(report)
    columns.end(report)
