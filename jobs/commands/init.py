"""The command that writes a settings file for a topic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from streamgauge.jobs.commands.options import AsJson, SettingsFile
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json, write_text
from streamgauge.jobs.kafka.read_range import newest
from streamgauge.jobs.settings.kafka import brokers
from streamgauge.jobs.settings.loading import load
from streamgauge.jobs.studies import guess_settings as guessing
from streamgauge.models.errors import InputError

app = command_line()


@app.command(epilog="Example: `streamgauge init --topic events --bootstrap broker-1:9092 --out detection.yaml`")
def init(
    topic: Annotated[str, typer.Option(help="Topic with the events.")],
    bootstrap: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of a broker; by default kafka.bootstrap of the settings."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Settings file to write.")] = Path("detection.yaml"),
    entity: Annotated[str | None, typer.Option(help="Field with the entity, if the guess is wrong.")] = None,
    most: Annotated[int, typer.Option(min=1, help="Number of newest records to look at.")] = 2_000,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Look at the newest records of a topic, and write a settings file for it with a reason for each key.

    The file holds only keys that differ from the defaults. Records that are written with a schema are read if --settings name
    event.format and event.registry. Nothing is written to Kafka, and no offset is committed.
    """
    with clear_errors():
        if out.exists() and not force:
            raise InputError(f"{out} is there already: --force overwrites it, --out names another file")
        loaded = load(settings)
        kafka = loaded.kafka
        if bootstrap is not None:
            kafka = kafka.model_copy(update={"bootstrap": _checked(bootstrap)})
        with console.status(f"reading {topic}"):
            records = newest(kafka, topic, most)
        guess = guessing.guess(records, kafka, topic, entity, loaded.event)
        write_text(out, guessing.settings_file(guess))
    if as_json:
        print_json({"file": str(out)} | guessing.as_dict(guess))
    else:
        show(guess)
    console.print(
        f"wrote {out}; next: streamgauge preview --settings {out}", soft_wrap=True, highlight=False, markup=False
    )


def _checked(bootstrap: str) -> str:
    try:
        brokers(bootstrap)
    except ValueError as error:
        raise InputError(f"--bootstrap {bootstrap!r} {error}") from error
    return bootstrap


def show(guess: guessing.Guess) -> None:
    """Print what was found: the fields, and the keys that were chosen."""
    fields = Table("field", "type", "in records", "values", "example", "taken as")
    for one in guess.fields:
        row = (one.name, one.kind, f"{one.share:.0%}", str(one.distinct), one.example, guess.roles[one.name])
        fields.add_row(*row)
    console.print(fields)
    if guess.choices:
        keys = Table("key", "value", "why")
        for choice in guess.choices:
            keys.add_row(choice.key, choice.text, choice.why)
        console.print(keys)
    for note in guess.notes:
        console.print(note, soft_wrap=True, highlight=False, markup=False)
