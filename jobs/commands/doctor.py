"""The command that checks what the job needs."""

from __future__ import annotations

import typer
from rich.table import Table
from rich.text import Text
from streamgauge.jobs.cluster.doctor import examine
from streamgauge.jobs.commands.options import AsJson, Home, SettingsFile
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json
from streamgauge.jobs.settings.loading import load

app = command_line()


@app.command(epilog="Example: `streamgauge doctor --settings production.yaml`")
def doctor(settings: SettingsFile = None, home: Home = None, as_json: AsJson = False) -> None:
    """Check Java, packages, ports, memory, topics, and that producers key by entity; exit code 1 on a failure."""
    with clear_errors():
        findings = examine(load(settings), home)
    if as_json:
        print_json([{"check": f.check, "state": f.state, "message": f.message} for f in findings])
    else:
        colours = {"ok": "green", "warning": "yellow", "failure": "red"}
        table = Table(show_header=False)
        for finding in findings:
            table.add_row(finding.check, Text(finding.state, colours[finding.state]), finding.message)
        console.print(table)
    if any(f.state == "failure" for f in findings):
        raise typer.Exit(1)
