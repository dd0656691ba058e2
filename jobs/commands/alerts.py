"""The commands about alerts: follow them, and give feedback on one."""

from __future__ import annotations

import getpass
import json
import sys
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer
from rich.live import Live
from rich.progress import Progress
from streamgauge.jobs.commands.options import AlertId, AsJson, SettingsFile
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json
from streamgauge.jobs.kafka.feedback import judge
from streamgauge.jobs.kafka.follow import alert_table, follow, wanted
from streamgauge.jobs.settings.loading import load

app = command_line()


@app.command(epilog="Example: `streamgauge alerts --from-beginning --severity high --json | jq .data.entity`")
def alerts(
    settings: SettingsFile = None,
    from_beginning: Annotated[bool, typer.Option(help="Show also the alerts that are there already.")] = False,
    entity: Annotated[str | None, typer.Option(help="Only alerts about this entity.")] = None,
    severity: Annotated[
        Literal["low", "medium", "high", "critical"], typer.Option(help="At least this severity.")
    ] = "low",
    limit: Annotated[int | None, typer.Option(min=1, help="End after this many alerts.")] = None,
    idle: Annotated[
        float | None, typer.Option(min=0.1, help="End when no alert has come for this many seconds.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one alert on each line.")] = False,
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


@app.command(epilog="Example: `streamgauge feedback 6301325c false --why 'nightly backup'`")
def feedback(
    alert_id: AlertId,
    verdict: Annotated[
        Literal["true", "false", "ignore"],
        typer.Argument(help="true: an anomaly; false: not an anomaly; ignore: no alerts like it --until a time."),
    ],
    until: Annotated[datetime | None, typer.Option(help="With ignore: until when, in UTC.")] = None,
    why: Annotated[str, typer.Option(help="A note for people who read it later.")] = "",
    by: Annotated[str | None, typer.Option(help="Who judges; by default you.")] = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Say whether an alert was right. Running jobs use the answer, and retraining leaves true anomalies out."""
    with clear_errors():
        moment = None if until is None else until.replace(tzinfo=UTC)
        judged = judge(load(settings).kafka, alert_id, verdict, by or getpass.getuser(), moment, why)
    if as_json:
        print_json(judged.model_dump(mode="json"))
    else:
        console.print(
            f"{judged.by} finds {judged.alert_id} ({judged.entity}, {judged.kind} of {judged.field}) {judged.verdict}"
        )
