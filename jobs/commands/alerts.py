"""The commands about alerts: follow them, explain one, and give feedback on one."""

from __future__ import annotations

import getpass
import json
import sys
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from streamgauge.jobs.commands.options import AsJson, SettingsFile
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json
from streamgauge.jobs.kafka.feedback import judge
from streamgauge.jobs.kafka.follow import alert_table, follow, wanted
from streamgauge.jobs.settings.loading import load
from streamgauge.jobs.studies import explain as explaining

app = command_line()


@app.command(epilog="Example: `streamgauge alerts --from-beginning --severity high --json | jq .data.entity`")
def alerts(
    settings: SettingsFile = None,
    from_beginning: Annotated[bool, typer.Option(help="Those already there too.")] = False,
    entity: Annotated[str | None, typer.Option(help="Only of this entity.")] = None,
    severity: Annotated[Literal["low", "medium", "high", "critical"], typer.Option(help="At least so severe.")] = "low",
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    idle: Annotated[float | None, typer.Option(min=0.1, help="End when none came for so many seconds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One alert a line.")] = False,
) -> None:
    """Follow the alert topic."""
    shown: list[dict[str, Any]] = []
    count = 0
    with clear_errors():
        kafka = load(settings).kafka
        view = Progress(disable=True) if as_json else Live(console=console, refresh_per_second=4)
        with suppress(KeyboardInterrupt), closing(follow(kafka, from_beginning, idle)) as stream, view:
            for received in stream:
                if received is not None and wanted(received.alert, entity, severity):
                    count += 1
                    if as_json:
                        sys.stdout.write(json.dumps(received.alert) + "\n")
                        sys.stdout.flush()
                    shown = [*shown[-19:], received.alert]
                if isinstance(view, Live):
                    view.update(alert_table(shown, f"{count} alerts (Ctrl-C ends)"))
                if limit is not None and count >= limit:
                    break


@app.command(epilog="Example: `streamgauge explain 6301325c --plot alert.png`")
def explain(
    alert_id: Annotated[str, typer.Argument(help="The alert's id, or the beginning of it.")],
    settings: SettingsFile = None,
    plot: Annotated[Path | None, typer.Option(help="PNG to draw the entity around the alert to.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score an alert again from its offsets: the same bytes, who is to blame, and what would not have fired."""
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
    console.print("[green]scored again: the same bytes[/]" if found.equal else "[yellow]scored again: not the same[/]")
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
        console.print(f"would not have fired if {bound}")
    if not found.counterfactuals:
        console.print("no single field alone would have prevented it")


@app.command(epilog="Example: `streamgauge feedback 6301325c false --why 'nightly backup'`")
def feedback(
    alert_id: Annotated[str, typer.Argument(help="The alert's id, or the beginning of it.")],
    verdict: Annotated[
        Literal["true", "false", "ignore"],
        typer.Argument(help="true: an anomaly; false: none; ignore: no more alerts like it --until a time."),
    ],
    until: Annotated[datetime | None, typer.Option(help="With ignore; in UTC.")] = None,
    why: Annotated[str, typer.Option(help="For those who read it later.")] = "",
    by: Annotated[str | None, typer.Option(help="Who judges; you by default.")] = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Say whether an alert was right: running jobs take it up, retraining leaves true anomalies out."""
    with clear_errors():
        moment = None if until is None else until.replace(tzinfo=UTC)
        judged = judge(load(settings).kafka, alert_id, verdict, by or getpass.getuser(), moment, why)
    if as_json:
        print_json(judged.model_dump(mode="json"))
    else:
        console.print(
            f"{judged.by} finds {judged.alert_id} ({judged.entity}, {judged.kind} of {judged.field}) {judged.verdict}"
        )
