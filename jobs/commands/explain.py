"""The command that explains an alert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from streamgauge.jobs.commands.options import AlertId, AsJson, SettingsFile
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json
from streamgauge.jobs.settings.loading import load
from streamgauge.jobs.studies import explain as explaining

app = command_line()


@app.command(epilog="Example: `streamgauge explain 6301325c --plot alert.png`")
def explain(
    alert_id: AlertId,
    settings: SettingsFile = None,
    plot: Annotated[Path | None, typer.Option(help="PNG file to draw: the entity around the alert.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score an alert again from Kafka: whether it is the same, which fields contributed, and which values give no alert."""
    with clear_errors():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("scoring again", total=None)
            found = explaining.explain(
                load(settings), alert_id, lambda done, total: bar.update(task, completed=done, total=total)
            )
        if plot is not None:
            explaining.draw(found, plot)
            console.print(f"wrote {plot}")
    data = found.alert["data"]
    if as_json:
        print_json(
            {
                "alert": found.alert,
                "equal": found.equal,
                "differs": found.differs,
                "notes": found.notes,
                "would_not_have_fired": found.counterfactuals,
            }
        )
        return
    console.print(f"{data['alert_id']}  {data['entity']}  {data['severity']} {data['kind']}  score {data['score']:.4f}")
    again = ("the same bytes", "green") if found.equal else ("not the same", "yellow")
    console.print(f"scored again: {again[0]}", style=again[1])
    for key, (was, now) in found.differs.items():
        console.print(f"  {key}: was {was}, is {now}", soft_wrap=True)
    for note in found.notes:
        console.print(f"  {note}", soft_wrap=True)
    table = Table("field", "share", "actual", "expected")
    for name, share in data["contributions"].items():
        expected = data["expected"].get(name)
        table.add_row(
            name, f"{share:.2f}", str(data["actual"].get(name)), "-" if expected is None else f"{expected:.6g}"
        )
    console.print(table)
    members = Table("member", "tail probability", "version")
    for name, opinion in data["detectors"].items():
        members.add_row(name, f"{opinion['tail_probability']:.2g}", opinion["version"])
    console.print(members)
    for bound in found.counterfactuals:
        console.print(f"there would be no alert if {bound}")
    if not found.counterfactuals:
        console.print("no change of a single field would have prevented it")
