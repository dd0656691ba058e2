"""`streamgauge backtest` writes scores, alerts and figures."""

from __future__ import annotations

import csv
import json

from streamgauge.jobs.commands.app import app
from typer.testing import CliRunner


def test_one_row_of_scores_is_written_for_each_row_read(table, tmp_path):
    scores, alerts = tmp_path / "scores.csv", tmp_path / "alerts.jsonl"
    command = ["backtest", str(table), "--entity-column", "card", "--time-column", "ts", "--label-column", "label"]
    done = CliRunner().invoke(app, [*command, "--scores", str(scores), "--alerts", str(alerts), "--json"])
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(scores.read_text().splitlines()))
    assert list(rows[0]) == ["row", "entity", "score", "alert"]
    assert [int(r["row"]) for r in rows] == list(range(3000))
    assert all(0 <= float(r["score"]) <= 1 for r in rows)
    assert {r["alert"] for r in rows} == {"0", "1"}
    opened = [json.loads(line) for line in alerts.read_text().splitlines()]
    assert opened[0]["type"] == "io.streamgauge.alert.opened"
    assert json.loads(done.stdout.splitlines()[-1])["recall"] == 1.0


def test_a_missing_file_is_named():
    done = CliRunner().invoke(app, ["backtest", "nowhere.csv"])
    assert done.exit_code == 2
    assert "no such file: nowhere.csv" in done.output
