"""The command that runs the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from streamgauge.jobs.commands.options import AsJson, Home, SettingsFile
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json
from streamgauge.jobs.studies.demo import run

app = command_line()


@app.command(epilog="Example: `streamgauge demo --keep`")
def demo(
    keep: Annotated[bool, typer.Option(help="Leave the cluster, the job and the page running.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the picture and the alerts.")] = Path("demo-output"),
    settings: SettingsFile = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Send real series through a local Kafka and Flink, and show what is found."""
    with clear_errors():
        figures = run(output, keep, console, home, settings)
    if as_json:
        print_json(figures)
