"""Options for reading files: the columns with the entity, the time and the label, and what happens if something is not read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from rich.table import Table
from streamgauge.jobs.commands.terminal import console
from streamgauge.jobs.files.csv_files import THOUSANDS
from streamgauge.jobs.files.not_read import NotRead
from streamgauge.jobs.files.read_files import Columns
from streamgauge.models.errors import InputError


@dataclass(frozen=True)
class EventColumns:
    """The columns with the entity and the time, and how values are written."""

    entity_column: Annotated[
        str | None,
        typer.Option(
            help="Column with the entity; by default the name of the file is the entity, and in JSONL event.entity names it."
        ),
    ] = None
    time_column: Annotated[
        str | None, typer.Option(help="Column with the time of the event; by default, in JSONL, event.time names it.")
    ] = None
    time_format: Annotated[
        str | None, typer.Option(help="How times are written, such as '%d/%m/%Y %H:%M'; by default it is recognised.")
    ] = None
    thousands: Annotated[
        str | None,
        typer.Option(help="CSV: what stands between groups of three digits: a comma, a point, a space, ' or _."),
    ] = None
    strict: Annotated[
        bool,
        typer.Option(help="Exit with 1 if anything in the files was not read, or if nothing of an event is looked at."),
    ] = False

    def columns(self, label: str | None = None, drop: list[str] | None = None) -> Columns:
        """The columns, for reading files. Raises InputError if --thousands is not one of the allowed characters."""
        if self.thousands is not None and self.thousands not in THOUSANDS:
            allowed = ", ".join(map(repr, THOUSANDS))
            raise InputError(f"--thousands {self.thousands!r} is not allowed; allowed: {allowed}")
        return Columns(self.entity_column, self.time_column, label, tuple(drop or ()), self.time_format, self.thousands)

    def end(self, report: NotRead, unread: int = 0) -> None:
        """With --strict, exit with 1 if anything was not read, or there are `unread` events: nothing of them was looked at."""
        if self.strict and (report or unread):
            raise typer.Exit(1)


@dataclass(frozen=True)
class LabelledColumns(EventColumns):
    """The columns with the entity, the time and the label."""

    label_column: Annotated[
        str | None, typer.Option(help="Column that is above 0 for anomalies; used to judge, never to learn.")
    ] = None

    def columns(self, label: str | None = None, drop: list[str] | None = None) -> Columns:
        """The columns, for reading files."""
        return super().columns(label or self.label_column, drop)


def tell_of_files(report: NotRead) -> None:
    """Print how files were understood and what was not read of them."""
    for note in report.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    if not report:
        return
    table = Table("file", "column", "not read", "count", "lines", "such as", title="What was not read")
    for entry in report.as_list():
        lines = ", ".join(map(str, entry["lines"])) + ", ..." * (len(entry["lines"]) < entry["count"])
        cells = (entry["file"], entry["column"], entry["reason"], str(entry["count"]), lines, entry["example"])
        table.add_row(*cells)
    console.print(table)
