"""Options for the history that a model is made from, and the bar that shows how it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from streamgauge.jobs.commands.columns import LabelledColumns
from streamgauge.jobs.commands.terminal import console
from streamgauge.jobs.files.not_read import NotRead
from streamgauge.jobs.files.sources import local
from streamgauge.jobs.kafka.event_topics import one_topic
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies import train as training
from streamgauge.models.errors import InputError
from streamgauge.models.training.candidate import Past


@dataclass(frozen=True)
class Data(LabelledColumns):
    """The data to train on."""

    drop: Annotated[list[str] | None, typer.Option(help="Column that is not a feature; repeatable.")] = None
    offsets: Annotated[list[str] | None, typer.Option(help="From the topic: PARTITION:FROM-TO; repeatable.")] = None
    topic: Annotated[str | None, typer.Option(help="Topic to read; needed if the settings name several.")] = None
    last: Annotated[int | None, typer.Option(min=100, help="From the topic: number of newest events.")] = None
    licence: Annotated[str, typer.Option(help="Licence of the data; stored with the model.")] = "not stated"

    def check(self, files: list[Path] | None) -> None:
        """Raise InputError if an option would have no effect: some go with files, others with the topic."""
        if files and (self.offsets or self.last or self.topic):
            raise InputError("--offsets, --last and --topic read from Kafka: name files, or these")
        if self.offsets and self.last:
            raise InputError("--offsets and --last exclude each other")
        if files:
            return
        for name in ("entity_column", "time_column", "time_format", "thousands", "label_column", "drop"):
            if getattr(self, name):
                raise InputError(
                    f"--{name.replace('_', '-')} belongs to files, and none is named: of the topic, the settings say how events are read "
                    "(event.entity, event.time, event.ignore)"
                )

    def read(self, settings: Settings, files: list[Path] | None, bar: Reading, report: NotRead) -> Past:
        """The events of the files, or of the topic if there are no files."""
        if files:
            columns, event = self.columns(drop=self.drop), settings.event
            with local(files) as copies:
                return training.past_of_files(
                    copies, columns, event, licence=self.licence, report=report, on_rows=bar.rows
                )
        ranges = training.parsed_offsets(self.offsets) if self.offsets else None
        past = training.past_of_topic(settings, one_topic(settings.kafka, self.topic), ranges, self.last, bar.rows)
        return replace(past, licence=self.licence)


class Reading:
    """A bar that counts the rows read, then shows how far the training is."""

    def __init__(self, bar: Progress) -> None:
        self.bar, self.count = bar, 0
        self.task = bar.add_task("reading", total=None, rows="")

    def rows(self, rows: int) -> None:
        """Add the number of rows that were just read."""
        self.count += rows
        self.bar.update(self.task, rows=f"{self.count} rows")

    def trained(self, what: str, done: float) -> None:
        """Show which step of the training runs, and how much of it is done, 0 to 1."""
        self.bar.update(self.task, description=what, total=1.0, completed=done)

    def tell(self, text: str) -> None:
        """Show a line of text above the bar."""
        self.bar.console.print(text, highlight=False, soft_wrap=True)


@contextmanager
def reading() -> Iterator[Reading]:
    """A progress bar that ends with the block."""
    text, rows = TextColumn("{task.description}"), TextColumn("{task.fields[rows]}")
    columns = (text, BarColumn(), TaskProgressColumn(), rows, TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        yield Reading(bar)
