"""The commands of the service: what is wrong is said in one line, with key and value."""

from __future__ import annotations

import json
import socket

import structlog
from streamgauge.jobs.commands.app import app
from typer.testing import CliRunner


def run(home, *arguments, **environment):
    env = {"COLUMNS": "400", "NO_COLOR": "1", "TERM": "dumb", "STREAMGAUGE_HOME": str(home)} | environment
    done = CliRunner().invoke(app, [str(one) for one in arguments], env=env)
    structlog.reset_defaults()  # `serve` logs to a stream that ended with the command
    return done.exit_code, done.output


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output = run(tmp_path, "serve", "--port", port)
    assert code == 2
    assert f"service.port {port}" in output
    assert "--host and --port name others" in output


def test_a_port_of_grpc_that_is_taken_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output = run(tmp_path, "serve", "--port", 0, STREAMGAUGE__SERVICE__GRPC_PORT=str(port))
    assert (code, f"service.grpc_port {port}" in output) == (2, True)


def test_another_address_than_this_machine_needs_a_token(tmp_path):
    code, output = run(tmp_path, "serve", "--host", "0.0.0.0")
    assert (code, "streamgauge token create" in output) == (2, True)


def test_a_wrong_database_is_refused_and_its_password_is_not_shown(tmp_path):
    code, output = run(tmp_path, "serve", STREAMGAUGE__SERVICE__DATABASE="mysql://me:very-secret@host/name")
    assert (code, "service.database" in output, "very-secret" in output) == (2, True, False)
    dead = "postgresql://me:very-secret@127.0.0.1:9/name"
    code, output = run(tmp_path, "serve", STREAMGAUGE__SERVICE__DATABASE=dead)
    assert (code, "cannot be used" in output, "very-secret" in output) == (1, True, False)


def test_tokens_are_made_listed_and_revoked(tmp_path):
    code, output = run(tmp_path, "token", "create", "ann", "--scope", "read", "--json")
    assert (code, json.loads(output)["name"]) == (0, "ann")
    assert json.loads(output)["token"].startswith("sg_")
    assert run(tmp_path, "token", "create", "ann")[0] == 2
    code, output = run(tmp_path, "token", "create", "bo", "--scope", "everything")
    assert (code, "scopes of read, feedback, control (is everything)" in output) == (2, True)
    assert [one["scopes"] for one in json.loads(run(tmp_path, "token", "list", "--json")[1])] == ["read"]
    assert run(tmp_path, "token", "revoke", "ann")[0] == 0
    code, output = run(tmp_path, "token", "revoke", "ann")
    assert (code, "there is no token 'ann'" in output) == (2, True)
