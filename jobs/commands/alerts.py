"""The commands about alerts: follow them, and give feedback on one."""

from __future__ import annotations

import getpass
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

import typer
from rich.table import Table
from streamgauge.jobs.commands.options import AsJson, SettingsFile
from streamgauge.jobs.commands.terminal import PlainConsole, clear_errors, command_line, console, print_json, tell
from streamgauge.jobs.kafka.alert_lines import AlertLines
from streamgauge.jobs.kafka.feedback import judge, newest_feedback, undo
from streamgauge.jobs.kafka.follow import follow, wanted
from streamgauge.jobs.settings.loading import load
from streamgauge.models.errors import InputError
from streamgauge.udfs.control.feedback import Feedback, Verdict

app = command_line()


@app.command(epilog="Example: `streamgauge alerts --from-beginning --severity high --json | jq .data.entity`")
def alerts(
    settings: SettingsFile = None,
    from_beginning: Annotated[bool, typer.Option(help="Show also the alerts that are there already.")] = False,
    entity: Annotated[str | None, typer.Option(help="Only alerts about this entity.")] = None,
    severity: Annotated[
        Literal["low", "medium", "high", "critical"],
        typer.Option(help="Only incidents of at least this severity. Once one has it, all its later alerts are shown."),
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
        count, heard = 0, set[str]()
        with suppress(KeyboardInterrupt), closing(follow(kafka, from_beginning, idle)) as stream:
            for received in stream:
                if received is None or not wanted(received.alert, entity, severity, heard):
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


@app.command(
    epilog="Example: `streamgauge feedback 6301325c false --why 'nightly backup'`; alone it lists what is in force"
)
def feedback(
    alert_id: Annotated[
        str | None,
        typer.Argument(help="Id of the alert, or the beginning of the id; `all` with undo. Without it: list all."),
    ] = None,
    verdict: Annotated[
        Verdict | None,
        typer.Argument(
            help="true: an anomaly; false: not an anomaly; ignore: no alerts like it --until a time; undo: take back what was said."
        ),
    ] = None,
    until: Annotated[datetime | None, typer.Option(help="With ignore: until when, in UTC.")] = None,
    why: Annotated[str, typer.Option(help="A note for people who read it later.")] = "",
    by: Annotated[
        str | None, typer.Option(help="Who judges, or whose feedback is undone; by default you. In the list: whose.")
    ] = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Say whether an alert was right, take that back, or list what people said.

    Running jobs use the answer, and retraining leaves true anomalies out.
    """
    with clear_errors():
        loaded, who = load(settings), by or getpass.getuser()
        if alert_id is None:
            _list([one for one in newest_feedback(loaded) if by in (None, one.by)], as_json)
            return
        if not alert_id:  # such as a variable of a shell that is not set
            raise InputError("an id of an alert has at least one character (is '')")
        if verdict is None:
            raise InputError(f"verdict: one of {', '.join(get_args(Verdict))} is needed after the id of the alert")
        if verdict == "undo":
            undone = undo(loaded, who, None if alert_id == "all" else alert_id)
            words = "\n".join(f"{one.by} takes back: {_words(one)}" for one in undone)
            tell([one.model_dump(mode="json") for one in undone], as_json, words)
            return
        moment = None if until is None else until.replace(tzinfo=UTC)
        judged = judge(loaded, alert_id, verdict, who, moment, why)
    tell(judged.model_dump(mode="json"), as_json, f"{judged.by} finds {_words(judged)}")


def _words(one: Feedback) -> str:
    return f"{one.alert_id} ({one.entity}, {one.kind} of {one.field}) {one.verdict}"


def _list(found: list[Feedback], as_json: bool) -> None:
    """Print feedback that is in force."""
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    table = Table("alert", "entity", "kind", "field", "verdict", "by", "at", "why")
    for one in found:
        verdict = one.verdict if one.until is None else f"{one.verdict} until {one.until:%Y-%m-%d %H:%M}"
        at = "" if one.at is None else f"{one.at:%Y-%m-%d %H:%M}"
        table.add_row(one.alert_id, one.entity, one.kind, one.field or "", verdict, one.by, at, one.why)
    console.print(table if found else "no feedback is in force")
