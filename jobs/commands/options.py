"""Options that several commands have, and a decorator that passes several options to a command as one object."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="Settings file; by default flink-conf/detection.yaml in this folder.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]
JobManager = Annotated[
    str | None,
    typer.Option(help="HOST:PORT of a cluster's REST endpoint; by default flink.rest.address, else the local cluster."),
]
Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="STREAMGAUGE_HOME",
        help="Folder of the local cluster: jars, topics, checkpoints, logs, compiled kernels; by default in the user's cache.",
    ),
]
Registry = Annotated[
    str | None, typer.Option("--registry", help="Folder or URL (s3://...); by default models.registry of the settings.")
]
AlertId = Annotated[str, typer.Argument(help="Id of the alert, or the beginning of the id.")]
Streams = Annotated[
    list[Path],
    typer.Argument(help="CSV, JSONL or Parquet, also .gz, .zst or .zip, or at a URL; each file is a separate stream."),
]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command have dataclasses as parameters: each field of a dataclass becomes an option of the command line.

    Parameters
    ----------
    command : callable
        A parameter whose annotation is a dataclass is filled from the options with the names of its fields.
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
