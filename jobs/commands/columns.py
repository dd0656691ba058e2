"""Options for the columns of a file that hold the entity, the time and the label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from streamgauge.jobs.files.read_files import Columns


@dataclass(frozen=True)
class EventColumns:
    """The columns with the entity and the time."""

    entity_column: Annotated[
        str | None, typer.Option(help="Column with the entity; by default the name of the file is the entity.")
    ] = None
    time_column: Annotated[str | None, typer.Option(help="Column with the time of the event.")] = None

    def columns(self, label: str | None = None, drop: list[str] | None = None) -> Columns:
        """The columns, for reading files."""
        return Columns(self.entity_column, self.time_column, label, tuple(drop or ()))


@dataclass(frozen=True)
class LabelledColumns(EventColumns):
    """The columns with the entity, the time and the label."""

    label_column: Annotated[
        str | None, typer.Option(help="Column that is above 0 for anomalies; used to judge, never to learn.")
    ] = None

    def columns(self, label: str | None = None, drop: list[str] | None = None) -> Columns:
        """The columns, for reading files."""
        return super().columns(label or self.label_column, drop)
