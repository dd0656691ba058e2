"""What the commands write to a terminal: errors as one line, JSON, progress, and tables of figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from streamgauge.models.errors import InputError, SettingsError, StreamgaugeError

console = Console(stderr=True)


def command_line(**settings: Any) -> typer.Typer:
    """Commands of one file, in the manner that all have."""
    return typer.Typer(rich_markup_mode="markdown", add_completion=False, **settings)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Our own errors as one line, with an exit code; bugs keep their traceback."""
    try:
        yield
    except (SettingsError, InputError) as error:
        console.print(f"[red]error:[/] {error}", highlight=False, markup=True, soft_wrap=True)
        raise typer.Exit(2) from error
    except StreamgaugeError as error:
        console.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    except OSError as error:
        if error.filename is None:
            raise
        console.print(f"[red]error:[/] {error.filename}: {error.strerror}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error


def print_json(value: Any) -> None:
    """One line of JSON on standard output."""
    sys.stdout.write(json.dumps(value, default=str) + "\n")


def progress() -> Progress:
    """A bar with the number done, the number in all, and the time that is left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def need_files(files: list[Path]) -> None:
    """InputError where a file is not there."""
    for file in files:
        if not file.is_file():
            raise InputError(f"no such file: {file}")


def write_text(path: Path, text: str) -> None:
    """Write a file; its folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
