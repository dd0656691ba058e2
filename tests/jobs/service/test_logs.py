"""The log of the service: one JSON object a line, for programs that collect logs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

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
