"""The commands about one entity: show, forget, release, rewind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.table import Table
from streamgauge.jobs.commands.options import AsJson, SettingsFile
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json
from streamgauge.jobs.kafka.entity_requests import Action, ask
from streamgauge.jobs.settings.loading import load
from streamgauge.models.errors import InputError

Entity = Annotated[str, typer.Argument(help="Name of the entity, as in the events.")]
Wait = Annotated[float, typer.Option(min=0.1, help="How many seconds to wait for the answer of the job.")]

app = command_line()
entity_app = command_line(
    no_args_is_help=True, help="Look at one entity in the running job, or change what it learned."
)
app.add_typer(entity_app, name="entity")


def _command(action: Action, what: str) -> None:
    def command(entity: Entity, settings: SettingsFile = None, wait: Wait = 15.0, as_json: AsJson = False) -> None:
        with clear_errors():
            if not entity:
                raise InputError("an entity has a name of at least one character (is '')")
            answers = ask(load(settings).kafka, entity, action, wait)
        if as_json:
            print_json(answers)
        else:
            for answer in answers:
                _show(answer)
        if not all(answer["done"] for answer in answers):
            raise typer.Exit(1)

    command.__doc__ = what
    decorate: Callable[[Any], Any] = entity_app.command(action, epilog=f"Example: `streamgauge entity {action} pump-7`")
    decorate(command)


def _show(answer: dict[str, Any]) -> None:
    where = "".join(f"{name} {value}, " for name, value in answer["context"].items())
    where += f"topic {answer['topic']}, " if "topic" in answer else ""
    where += f"partition {answer['partition']}" + (f", windows {answer['window']}" if answer["window"] else "")
    outcome = "done" if answer["done"] else f"not done: {answer['why']}"
    console.print(
        f"{answer['entity']}  {where}  {answer['events']} events, the last at {answer['last_event']}  {outcome}"
    )
    for key, text in (("incident", "incident {}"), ("rewind_to", "can be rewound to {}")):
        if answer[key]:
            console.print(f"  {text.format(answer[key])}")
    if answer["held_back"]:
        console.print("  its events are quarantined: scored, but not learned")
    table = Table("field", "values", "usual", "deviation", "from", "to", "last")
    for name, field in answer["fields"].items():
        numbers = [f"{field[key]:.6g}" for key in ("usual", "deviation", "from", "to", "last")]
        table.add_row(name, str(field["values"]), *numbers)
    console.print(table)


_command("show", "Show what the job knows of an entity: usual values, incident, and whether the job learns from it.")
_command("forget", "Forget an entity. Its next event is a cold start: it is judged by what its cohort is like.")
_command("release", "Learn again from an entity in a long incident: what it does now becomes usual.")
_command("rewind", "Take an entity back to its state before the quarantined events, and end its incident.")
