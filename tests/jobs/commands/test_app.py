"""The command line: its help, its exit codes, and what it imports."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest
from streamgauge.jobs.commands.app import FILES, app, imported
from typer.testing import CliRunner

COMMANDS = [name for commands in FILES.values() for name in commands]
FAMILIES = {"models", "entity", "trial", "token"}
CALLS = sorted(
    f"{name} {inner}" if inner else name
    for name in COMMANDS
    for inner in (imported(name).commands if name in FAMILIES else [""])
)
LACKS = {  # commands without an option that all others have, and why
    ("down", "--settings"): "it stops the processes in its own list, whatever the settings say",
    ("warm", "--settings"): "it compiles the kernels of all settings",
    ("where", "--settings"): "it names files of the installation",
}


def run(*arguments):
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def test_help_names_every_command():
    done = run("--help")
    assert done.exit_code == 0
    assert all(command in done.output for command in COMMANDS)
    assert "Exit codes" in done.output


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - FAMILIES))
def test_every_help_has_an_example(command):
    done = run(command, "--help")
    assert done.exit_code == 0
    assert "Example" in done.output


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_help_in_a_family_has_an_example(family):
    for command in imported(family).commands:
        done = run(family, command, "--help")
        assert done.exit_code == 0
        assert "Example" in done.output


@pytest.mark.parametrize(("file", "name"), [(file, name) for file, names in FILES.items() for name in names])
def test_the_list_of_commands_and_the_help_of_each_command_agree(file, name):
    assert FILES[file][name] == imported(name).help.splitlines()[0]


def options(call):
    family, _, inner = call.partition(" ")
    command = imported(family).commands[inner] if inner else imported(family)
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("option", ["--json", "--settings"])
def test_every_command_has_an_option_for_programs_and_one_for_settings_except_those_with_a_reason(option):
    without = [call for call in CALLS if option not in options(call)]
    assert without == sorted(call for call, lacked in LACKS if lacked == option)


@pytest.mark.parametrize(
    ("arguments", "code", "answer"),
    [
        (("status", "--json"), 1, {"running": False, "processes": [], "jobs": []}),
        (("down", "--json"), 0, {"stopped": []}),
        (("token", "list", "--json"), 0, []),
        (("models", "list", "--registry", "models", "--json"), 0, []),
        (("models", "verify", "--registry", "models", "--json"), 0, []),
        (("models", "gc", "--registry", "models", "--json"), 0, {"deleted": []}),
    ],
)
def test_with_json_standard_output_is_one_document_and_nothing_else(arguments, code, answer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMGAUGE_HOME", str(tmp_path))
    done = run(*arguments)
    assert (done.exit_code, json.loads(done.stdout)) == (code, answer)


def test_stop_and_status_take_the_job_of_the_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMGAUGE_HOME", str(tmp_path))
    (tmp_path / "wrong.yaml").write_text("job: {nam: mine}\n")
    for command in ("stop", "status"):
        done = run(command, "--settings", str(tmp_path / "wrong.yaml"))
        assert done.exit_code == 2
        assert "job.nam" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("up", "--kafka-port", "0"), "'--kafka-port': allowed is 1 to 65535 (is '0')"),
        (("up", "--flink-port", "-1"), "'--flink-port': allowed is 1 to 65535 (is '-1')"),
        (("up", "--prometheus-port", "65535"), "'--prometheus-port': allowed is 1 to 65471 (is '65535')"),
        (("up", "--controller-port", "x"), "'--controller-port': allowed is 1 to 65535 (is 'x')"),
        (("serve", "--port", "70000"), "'--port': allowed is 0 to 65535 (is '70000')"),
        (("alerts", "--severity", "great"), "'great' is not one of 'low', 'medium', 'high', 'critical'"),
        (
            ("up", "--kafka-port", "8081"),
            "--flink-port 8081 is also --kafka-port: each process needs a port of its own",
        ),
        (("up", "--taskmanagers", "3", "--flink-port", "9252"), "--flink-port 9252 is also a port for metrics"),
        (("init", "--topic", "t", "--bootstrap", "h:x"), "--bootstrap 'h:x' must be HOST:PORT of a broker"),
        (("feedback", "", "undo"), "an id of an alert has at least one character"),
        (("entity", "show", ""), "an entity has a name of at least one character"),
        (("entity", "show", "a", "--wait", "nan"), "allowed is at least 0.1 (is 'nan')"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_done(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMGAUGE_HOME", str(tmp_path / "home"))
    done = run(*arguments)
    assert (done.exit_code, words in done.output) == (2, True), done.output


def test_an_unknown_command_is_refused_with_a_similar_one():
    done = run("trane")
    assert done.exit_code == 2
    assert "Did you mean 'train'" in done.output


IMPORTED = """
import sys
from streamgauge.jobs.commands.app import app
from typer.testing import CliRunner
done = CliRunner().invoke(app, sys.argv[2:])
assert "Usage" in done.output or "cluster" in done.output or "nothing was running" in done.output, done.output
print(sorted(set(sys.argv[1].split()) & set(sys.modules)))
"""
COMPILED = "pyflink numba torch scipy sklearn"


@pytest.mark.parametrize(
    ("arguments", "libraries"),
    [
        ("--help", f"numpy pandas {COMPILED}"),
        ("status", f"numpy pandas {COMPILED}"),
        ("down", f"numpy pandas {COMPILED}"),
        ("up --help", f"numpy pandas {COMPILED}"),
        ("alerts --help", COMPILED),
        ("feedback --help", COMPILED),
        ("entity show --help", COMPILED),
    ],
)
def test_a_command_does_not_import_libraries_that_it_does_not_need(arguments, libraries):
    command = [sys.executable, "-c", IMPORTED, libraries, *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_status_without_a_cluster_is_exit_code_1_and_down_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMGAUGE_HOME", str(tmp_path))
    assert run("status").exit_code == 1
    assert "nothing was running" in run("down").output


def test_a_dead_broker_is_named_with_what_to_do(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("STREAMGAUGE__KAFKA__BOOTSTRAP", address)
    done = run("submit")
    assert done.exit_code == 1
    assert f"no Kafka broker answers at {address}" in " ".join(done.output.split())


def test_wrong_settings_are_exit_code_2(monkeypatch):
    monkeypatch.setenv("STREAMGAUGE__BATCH__SHARDS", "none")
    done = run("submit")
    assert done.exit_code == 2
    assert "batch.shards" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("replay", "x.csv", "--rate", "5", "--speed-up", "2"), "exclude each other"),
        (("replay", "x.csv", "--speed-up", "2"), "needs --time-column"),
        (("replay", "x.csv"), "no such file: x.csv"),
        (("trial", "start", "2", "0.1"), "trial.a: Input should be less than 1 (is 2.0)"),
        (("train", "m", "loda", "--metrics-port", "0"), "--metrics-port goes with --watch"),
        (("report", "--since", "soon"), "--since 'soon': a duration is a number and a unit"),
    ],
)
def test_wrong_arguments_are_exit_code_2(arguments, words):
    done = run(*arguments)
    assert done.exit_code == 2
    assert words in done.output
