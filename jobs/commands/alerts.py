"""The commands about alerts: follow them, and give feedback on one."""

from __future__ import annotations

import getpass
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer
from streamgauge.jobs.commands.options import AlertId, AsJson, SettingsFile
from streamgauge.jobs.commands.terminal import PlainConsole, clear_errors, command_line, console, print_json, tell
from streamgauge.jobs.kafka.alert_lines import AlertLines
from streamgauge.jobs.kafka.feedback import judge
from streamgauge.jobs.kafka.follow import follow, wanted
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
    wide: Annotated[
        bool, typer.Option("--wide", help="Cut no names, and add the change and the alert's id; lines may be long.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Follow the alert topic.

    One line for each change of an incident; with --json one object a line. Names that do not fit into the terminal are cut in the middle.
    """
    with clear_errors():
        kafka = load(settings).kafka
        shown = PlainConsole()
        lines = AlertLines(None if wide else shown.width)
        console.print(f"following {kafka.topics.alerts} at {kafka.bootstrap}; Ctrl-C ends", highlight=False)
        count = 0
        with suppress(KeyboardInterrupt), closing(follow(kafka, from_beginning, idle)) as stream:
            for received in stream:
                if received is None or not wanted(received.alert, entity, severity):
                    continue
                if as_json:
                    print_json(received.alert)
                else:
                    if count == 0:
                        shown.print(lines.heading(), soft_wrap=True)
                    shown.print(lines.line(received.alert), soft_wrap=True)
                count += 1
                if count == limit:
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
    words = f"{judged.by} finds {judged.alert_id} ({judged.entity}, {judged.kind} of {judged.field}) {judged.verdict}"
    tell(judged.model_dump(mode="json"), as_json, words)
