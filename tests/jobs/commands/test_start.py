"""`streamgauge init` and `streamgauge preview`, as far as they need no broker; see tests/integration for the rest."""

from __future__ import annotations

import json
import socket
from types import SimpleNamespace

import pytest
import typer
from streamgauge.jobs.commands.app import app
from streamgauge.jobs.commands.init import show
from streamgauge.jobs.commands.terminal import clear_errors
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.jobs.studies.guess_settings import guess
from streamgauge.models.errors import InputError
from typer.testing import CliRunner


def run(*arguments):
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


@pytest.fixture
def dead():
    """The address of a broker that does not answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_init_does_not_overwrite_a_file(tmp_path, dead):
    file = tmp_path / "detection.yaml"
    file.write_text("event: {entity: mine}\n")
    done = run("init", "--topic", "events", "--bootstrap", dead, "--out", str(file))
    assert done.exit_code == 2
    assert f"{file} is there already: --force overwrites it" in done.output
    assert file.read_text() == "event: {entity: mine}\n"


def test_init_writes_nothing_if_no_broker_answers(tmp_path, dead):
    file = tmp_path / "detection.yaml"
    done = run("init", "--topic", "events", "--bootstrap", dead, "--out", str(file))
    assert done.exit_code == 1
    assert f"no Kafka broker answers at {dead}" in done.output
    assert not file.exists()


def test_preview_writes_nothing_if_no_broker_answers(tmp_path, dead, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMGAUGE__KAFKA__BOOTSTRAP", dead)
    done = run("preview")
    assert done.exit_code == 1
    assert f"no Kafka broker answers at {dead}" in done.output
    assert list(tmp_path.iterdir()) == []


def test_preview_says_what_a_duration_is():
    done = run("preview", "--last", "soon")
    assert done.exit_code == 2
    assert "--last 'soon': a duration is a number and a unit" in done.output


def test_names_of_fields_are_shown_as_they_are(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    values = [{"[red]": f"p{n % 5}", "[/]": n / 7} for n in range(50)]
    records = [
        SimpleNamespace(
            key=value["[red]"].encode(),
            value=json.dumps(value).encode(),
            timestamp=1000 * n,
            partition=0,
            offset=n,
            topic="events",
        )
        for n, value in enumerate(values)
    ]
    show(guess(records, KafkaSettings(), "events"))
    shown = capsys.readouterr().err
    assert "[red]" in shown
    assert "[/]" in shown
    assert "no field holds times" in shown


def test_an_error_keeps_its_square_brackets(capsys):
    with pytest.raises(typer.Exit), clear_errors():
        raise InputError("no field [/] in decide.rules[x].id")
    assert capsys.readouterr().err.strip() == "error: no field [/] in decide.rules[x].id"
