"""The commands about the installation: compile the kernels, and find the files of the package."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer
from streamgauge.jobs.cluster import resources
from streamgauge.jobs.cluster.home import existing_or_new, writable
from streamgauge.jobs.cluster.kernels import compiling, forget_old, kernel_cache
from streamgauge.jobs.commands.options import AsJson, Home
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json, tell

app = command_line()


@app.command(epilog="Example: `streamgauge warm`, once after an installation")
def warm(home: Home = None, as_json: AsJson = False) -> None:
    """Compile all kernels now, so that no job has to wait for them (about a minute, once for each version)."""
    with clear_errors():
        state = writable(home)
        with console.status("compiling kernels"), compiling(state, say=console.log, needed=True):
            forget_old(state)
    tell({"kernels": str(kernel_cache(state))}, as_json, f"kernels are in {kernel_cache(state)}")


@app.command(epilog="Example: `streamgauge backtest $(streamgauge where series)/*.csv --time-column timestamp`")
def where(
    what: Annotated[
        Literal["home", "series", "settings", "constraints", "flink-conf"] | None,
        typer.Argument(help="Print only this path."),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show where files are: the local cluster's state, the demo's series, a commented settings file, exact versions."""
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
