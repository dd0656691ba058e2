"""`streamgauge backtest` writes scores, alerts, figures and a page."""

from __future__ import annotations

import csv
import json

from streamgauge.jobs.commands.app import app
from typer.testing import CliRunner


def test_one_row_of_scores_is_written_for_each_row_read(table, tmp_path):
    scores, alerts = tmp_path / "new" / "scores.csv", tmp_path / "other" / "alerts.jsonl"
    command = ["backtest", str(table), "--entity-column", "card", "--time-column", "ts", "--label-column", "label"]
    page = tmp_path / "out" / "page.html"
    files = ("--scores", str(scores), "--alerts", str(alerts), "--page", str(page))
    done = CliRunner().invoke(app, [*command, *files, "--json"])
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(scores.read_text().splitlines()))
    assert list(rows[0]) == ["row", "entity", "score", "alert"]
    assert [int(r["row"]) for r in rows] == list(range(3000))
    figures = json.loads(done.stdout.splitlines()[-1])
    assert all(0 <= float(r["score"]) <= 1 for r in rows if r["score"])
    assert sum(not r["score"] for r in rows) == figures["unjudged"] > 0
    assert {r["alert"] for r in rows} == {"0", "1"}
    opened = [json.loads(line) for line in alerts.read_text().splitlines()]
    assert opened[0]["type"] == "io.streamgauge.alert.opened"
    assert figures["recall"] == 1.0
    assert done.stderr.splitlines()[-1] == f"wrote {page}"
    assert "Incidents on their series" in page.read_text()


def test_the_help_says_which_rows_have_no_score(tmp_path):
    scores, page = tmp_path / "scores.csv", tmp_path / "page.html"
    rows = [f"2024-01-01 00:{i:02},p,{i % 7}" for i in range(40)]
    (tmp_path / "pumps.csv").write_text("\n".join(["t,pump,x", *rows, "2020-01-01 00:00,p,1"]))
    command = ["backtest", str(tmp_path / "pumps.csv"), "--entity-column", "pump", "--time-column", "t"]
    done = CliRunner().invoke(app, [*command, "--scores", str(scores), "--page", str(page)])
    assert done.exit_code == 0, done.output
    *_, late = csv.DictReader(scores.read_text().splitlines())
    assert (late["row"], late["score"], late["alert"]) == ("40", "", "0")
    told = CliRunner().invoke(app, ["backtest", "--help"], env={"COLUMNS": "200"}).output
    assert "A row that was not judged, is a dead letter, or is late, has no score." in " ".join(told.split())


def test_it_ends_with_a_page_in_the_working_directory(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["backtest", table.name, "--entity-column", "card"])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == "wrote backtest.html"
    assert "Backtest: cards" in (tmp_path / "backtest.html").read_text()


def test_a_page_that_cannot_be_written_is_named(table, tmp_path):
    (tmp_path / "file").write_text("")
    page = tmp_path / "file" / "page.html"
    done = CliRunner().invoke(app, ["backtest", str(table), "--entity-column", "card", "--page", str(page)])
    assert done.exit_code == 1
    assert "file: " in done.output
    assert "Traceback" not in done.output


def test_a_missing_file_is_named():
    done = CliRunner().invoke(app, ["backtest", "nowhere.csv"])
    assert done.exit_code == 2
    assert "no such file: nowhere.csv" in done.output


def test_what_was_not_read_is_told_and_is_an_error_with_strict(tmp_path):
    file, page = tmp_path / "pumps.csv", tmp_path / "page.html"
    file.write_text(
        "\n".join(["t;x", *(f"2024-01-01 00:{i:02};{i},5" for i in range(40)), "soon;1,5", "2024-01-01 00:59;ERR"])
    )
    command = ["backtest", str(file), "--time-column", "t", "--page", str(page), "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[-1])["not_read"] == [
        {"file": "pumps.csv", "column": "x", "reason": "no number", "count": 1, "lines": [43], "example": "ERR"},
        {"file": "pumps.csv", "column": "t", "reason": "not a time", "count": 1, "lines": [42], "example": "soon"},
    ]
    assert "pumps.csv: a semicolon stands between the cells" in done.stderr
    assert "What was not read" in done.stderr
    strict = CliRunner().invoke(app, [*command, "--strict"])
    assert strict.exit_code == 1
    assert strict.stdout == done.stdout
    file.write_text("t,x\n2024-01-01,1\n2024-01-02,2\n")
    assert CliRunner().invoke(app, [*command, "--strict"]).exit_code == 0


def test_events_of_which_nothing_is_looked_at_are_told_with_the_reason_and_are_an_error_with_strict(tmp_path):
    file, page = tmp_path / "hosts.csv", tmp_path / "page.html"
    file.write_text("host,ts,state\n" + "".join(f"a,2026-01-01T00:{i:02}:00Z,up\n" for i in range(5)))
    command = ["backtest", str(file), "--entity-column", "host", "--time-column", "ts", "--page", str(page), "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout.splitlines()[-1])
    [remark] = figures["remarks"]
    assert "none of its fields holds a number: state; 'state' is \"up\"" in remark
    assert figures["unread"] == figures["events"] == 5
    assert remark in done.stderr
    assert "none of its fields holds a number" in page.read_text()
    assert CliRunner().invoke(app, [*command, "--strict"]).exit_code == 1


def test_a_mark_of_thousands_that_is_none_is_refused(table):
    done = CliRunner().invoke(app, ["backtest", str(table), "--thousands", "x"])
    assert done.exit_code == 2
    assert "--thousands 'x' is not allowed; allowed: ',', '.'" in done.output
