"""Options that say which columns of a file hold the entity, the time and the label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from streamgauge.jobs.files.read_files import Columns


@dataclass(frozen=True)
class EventColumns:
    """Where a file's columns hold what is no field."""

    entity_column: Annotated[str | None, typer.Option(help="Column with the entity; the file's name by default.")] = (
        None
    )
    time_column: Annotated[str | None, typer.Option(help="Column with the event time.")] = None

    def columns(self, label: str | None = None, drop: list[str] | None = None) -> Columns:
        """The same for the reader of files."""
        return Columns(self.entity_column, self.time_column, label, tuple(drop or ()))


@dataclass(frozen=True)
class LabelledColumns(EventColumns):
    """The same, and the label."""

    label_column: Annotated[
        str | None, typer.Option(help="Column that is above 0 for anomalies; judged by, never learned.")
    ] = None

    def columns(self, label: str | None = None, drop: list[str] | None = None) -> Columns:
        """The same for the reader of files."""
        return super().columns(label or self.label_column, drop)
