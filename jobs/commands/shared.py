"""What the commands share: options, the console, and errors as one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from streamgauge.models.errors import InputError, SettingsError, StreamgaugeError

console = Console(stderr=True)

SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="Settings file; flink-conf/detection.yaml of this folder by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]
JobManager = Annotated[
    str | None, typer.Option(help="HOST:PORT of a cluster's REST endpoint; the local one by default.")
]

Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="STREAMGAUGE_HOME",
        help="Folder of the local cluster: jars, topics, checkpoints, logs, compiled kernels; in the user's cache by default.",
    ),
]


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


def need_files(files: list[Path]) -> None:
    """InputError where a file is not there."""
    for file in files:
        if not file.is_file():
            raise InputError(f"no such file: {file}")
