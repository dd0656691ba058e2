"""The log of the service: one JSON object a line, for programs that collect logs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

FAIL = """
import structlog
from streamgauge.jobs.commands.serve import _log_as_json

def caller(authorization, **options):
    raise ValueError("unexpected")

_log_as_json("pumps")
try:
    caller("Bearer sg_" + "secret", sasl_plain_password="sec" + "ret")
except ValueError:
    structlog.get_logger().exception("a call failed")
"""
SERVE = "from streamgauge.jobs.commands.app import app; app()"


def test_the_log_is_json_and_says_what_failed(tmp_path):
    settings = {"STREAMGAUGE_HOME": str(tmp_path), "STREAMGAUGE__KAFKA__BOOTSTRAP": "127.0.0.1:1", "COLUMNS": "400"}
    settings["STREAMGAUGE__JOB__NAME"] = "pumps"
    command = [sys.executable, "-c", SERVE, "serve", "--port", "0"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | settings, cwd=tmp_path
    ) as process:
        assert process.stderr is not None
        before, line = [], ""
        for line in process.stderr:
            if line.startswith("{"):
                break
            before.append(line)
        process.terminate()
        rest = process.stderr.readlines()
    assert any("http://127.0.0.1:" in one for one in before), before
    logged = [json.loads(one) for one in [line, *rest]]
    assert all({"event", "level", "timestamp", "job"} <= set(one) for one in logged)
    assert {one["job"] for one in logged} == {"pumps"}
    assert logged[0]["event"] == "cannot read the topics into the history"
    assert (logged[0]["level"], "127.0.0.1:1" in logged[0]["problem"]) == ("warning", True)


def test_the_log_of_an_error_says_where_it_was_raised_and_holds_no_values_which_may_be_secret():
    done = subprocess.run([sys.executable, "-c", FAIL], capture_output=True, text=True, check=True)
    [error] = json.loads(done.stderr)["exception"]
    assert (error["exc_type"], error["exc_value"], error["frames"][-1]["name"]) == (
        "ValueError",
        "unexpected",
        "caller",
    )
    assert "secret" not in done.stderr
