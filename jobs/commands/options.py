"""Options that several commands have, and a way to take several options as one argument of a command's function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

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
Registry = Annotated[
    str | None, typer.Option("--registry", help="Folder or URL (s3://...); models.registry of the settings by default.")
]
Streams = Annotated[list[Path], typer.Argument(help="CSV, JSONL or Parquet; each is a stream of its own.")]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses of options: each of their fields becomes an option of the command line.

    Parameters
    ----------
    command : callable
        Parameters whose annotation is a dataclass are filled from the options of the same names as its fields.
    """
    signature = inspect.signature(command, eval_str=True)
    bundles: dict[str, Any] = {
        p.name: p.annotation for p in signature.parameters.values() if is_dataclass(p.annotation)
    }
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        bundle = bundles.get(parameter.name)
        parameters += inspect.signature(bundle, eval_str=True).parameters.values() if bundle else [parameter]

    @functools.wraps(command)
    def spread(**values: Any) -> None:
        for name, bundle in bundles.items():
            values[name] = bundle(**{field.name: values.pop(field.name) for field in fields(bundle)})
        command(**values)

    by_name = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    spread.__signature__ = signature.replace(parameters=by_name)  # type: ignore[attr-defined]
    spread.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return spread
