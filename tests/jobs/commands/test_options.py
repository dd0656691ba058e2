"""Dataclasses of options become single options of the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from streamgauge.jobs.commands.options import with_options
from typer.testing import CliRunner


@dataclass(frozen=True)
class Place:
    street: Annotated[str, typer.Option(help="Where.")]
    number: Annotated[int, typer.Option(min=1)] = 1


app = typer.Typer()


@app.command()
@with_options
def visit(name: Annotated[str, typer.Argument()], place: Place, quiet: bool = False) -> None:
    """Visit somebody."""
    typer.echo(json.dumps([name, place.street, place.number, quiet]))


def run(*arguments):
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (("ann", "--street", "Elm"), ["ann", "Elm", 1, False]),
        (("ann", "--street", "Elm", "--number", "7", "--quiet"), ["ann", "Elm", 7, True]),
    ],
)
def test_the_command_gets_the_dataclass_filled_from_the_options(arguments, seen):
    assert json.loads(run(*arguments).stdout) == seen


def test_fields_without_a_default_are_required_and_limits_hold():
    assert "--street" in run("ann").output
    assert run("ann").exit_code == 2
    assert run("ann", "--street", "Elm", "--number", "0").exit_code == 2


def test_help_shows_each_field_and_not_the_dataclass():
    shown = run("--help").output
    assert all(text in shown for text in ("--street", "Where.", "--number", "Visit somebody."))
    assert "--place" not in shown
