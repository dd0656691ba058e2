"""What a machine needs before a job can start quickly: compiled kernels, and the files that come with the package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from streamgauge.jobs.commands.shared import AsJson, Home, clear_errors, console, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from streamgauge.udfs.settings.pipeline import PipelineSettings


def use_compiled_kernels() -> None:
    """Anomaly detection on Kafka streams, as an Apache Flink job."""
    from streamgauge.jobs.cluster.home import default_home  # noqa: PLC0415
    from streamgauge.jobs.cluster.kernels import use_compiled  # noqa: PLC0415

    with clear_errors():
        use_compiled(default_home())


@contextmanager
def kernels_beside(home: Path | None, settings: PipelineSettings | None = None) -> Iterator[None]:
    """Compile what a job with these settings calls, while the block runs; the default settings unless given.

    Parameters
    ----------
    home : Path, optional
        Folder of the local cluster.
    settings : PipelineSettings, optional
    """
    from streamgauge.jobs.cluster.home import writable  # noqa: PLC0415
    from streamgauge.jobs.cluster.kernels import compiling  # noqa: PLC0415
    from streamgauge.jobs.settings.loading import load  # noqa: PLC0415

    with compiling(writable(home), settings or load(), console.log):
        yield


@contextmanager
def kernels_for_job(home: Path | None, settings: PipelineSettings, remote: bool) -> Iterator[None]:
    """Compile for a job that goes to the local cluster; nothing for another cluster, which has kernels of its own.

    Parameters
    ----------
    home : Path, optional
        Folder of the local cluster.
    settings : PipelineSettings
    remote : bool
        Whether another cluster is named.
    """
    from streamgauge.jobs.cluster.local_cluster import Cluster  # noqa: PLC0415

    if remote or Cluster.load(home) is None:
        yield
        return
    with kernels_beside(home, settings):
        yield


def warm(home: Home = None) -> None:
    """Compile all kernels now, so that no job has to wait for them (about a minute, once for each version)."""
    from streamgauge.jobs.cluster.home import writable  # noqa: PLC0415
    from streamgauge.jobs.cluster.kernels import compiling, forget_old, kernel_cache  # noqa: PLC0415

    with clear_errors():
        state = writable(home)
        with console.status("compiling kernels"), compiling(state, say=console.log, needed=True):
            forget_old(state)
    console.print(f"kernels are in {kernel_cache(state)}", soft_wrap=True)


def where(
    what: Annotated[
        Literal["home", "series", "settings", "constraints", "flink-conf"] | None,
        typer.Argument(help="Print only this path."),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show where files are: the local cluster's state, the demo's series, a commented settings file, exact versions for pip."""
    from streamgauge.jobs.cluster import resources  # noqa: PLC0415
    from streamgauge.jobs.cluster.home import existing_or_new  # noqa: PLC0415

    with clear_errors():
        paths = {
            "home": existing_or_new(home),
            "series": resources.demo_series(),
            "settings": resources.default_settings(),
            "constraints": resources.constraints(),
            "flink-conf": resources.flink_configuration(),
        }
    if as_json:
        print_json({name: str(path) for name, path in paths.items()})
    elif what is not None:
        sys.stdout.write(f"{paths[what]}\n")
    else:
        sys.stdout.writelines(f"{name:12} {path}\n" for name, path in paths.items())
