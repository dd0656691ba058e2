"""Output of the commands: errors as one line, JSON, progress bars, and files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from streamgauge.jobs.kafka.alert_lines import printable
from streamgauge.models.errors import InputError, SettingsError, StreamgaugeError


class PlainConsole(Console):
    """A terminal for texts that may come from events: no markup unless it is asked for, and no characters that control a terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The parts of what is printed, as rich calls it."""
        for part in super().render(renderable, options):
            yield part if part.control else Segment("\n".join(map(printable, part.text.split("\n"))), part.style)


console = PlainConsole(stderr=True)


def command_line(**settings: Any) -> typer.Typer:
    """The application for the commands of one file, with the options that all have."""
    return typer.Typer(rich_markup_mode="markdown", add_completion=False, **settings)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Print our own errors as one line, and exit with a code. Any other error keeps its traceback."""
    try:
        yield
    except (SettingsError, InputError) as error:
        console.print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True, markup=True)
        raise typer.Exit(2) from error
    except StreamgaugeError as error:
        console.print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True, markup=True)
        raise typer.Exit(1) from error
    except OSError as error:
        if error.filename is None:
            raise
        console.print(
            f"[red]error:[/] {escape(f'{error.filename}: {error.strerror}')}",
            highlight=False,
            soft_wrap=True,
            markup=True,
        )
        raise typer.Exit(1) from error


def print_json(value: Any) -> None:
    """Print one line of JSON on standard output, at once."""
    sys.stdout.write(json.dumps(value, default=str) + "\n")
    sys.stdout.flush()


def tell(result: Any, as_json: bool, words: str) -> None:
    """Print a result: as one line of JSON on standard output, or in words on standard error, as all messages."""
    if as_json:
        print_json(result)
    else:
        console.print(words, soft_wrap=True, highlight=False, markup=False)


def progress() -> Progress:
    """A progress bar with the number done, the total, and the remaining time."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def write_text(path: Path, text: str) -> None:
    """Write a file. Missing folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
