"""`streamgauge weigh` measures how well each member detects."""

from __future__ import annotations

import json

import pandas as pd
from streamgauge.jobs.commands.app import app
from typer.testing import CliRunner

COLUMNS = ("--entity-column", "pump", "--time-column", "ts", "--label-column", "broken")


def test_members_are_weighed_with_labels_and_without(pumps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with_labels = CliRunner().invoke(app, ["weigh", str(pumps), *COLUMNS, "--json"])
    assert with_labels.exit_code == 0, with_labels.output
    by_member = {one["member"]: one for one in json.loads(with_labels.stdout.strip().splitlines()[-1])}
    assert by_member["histogram_density"]["roc_auc"] > 0.9
    plain = pd.read_csv(pumps).drop(columns="broken")
    plain.to_csv(tmp_path / "plain.csv", index=False)
    without = CliRunner().invoke(app, ["weigh", str(tmp_path / "plain.csv"), *COLUMNS[:4], "--json"])
    weights = json.loads(without.stdout.strip().splitlines()[-1])
    assert {set(one) == {"member", "weight"} for one in weights} == {True}


def test_labels_count_also_where_a_file_has_no_rows(pumps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none.csv").write_text(pumps.read_text().partition("\n")[0] + "\n")
    found = [
        CliRunner().invoke(app, ["weigh", *map(str, of), *COLUMNS, "--json"]) for of in ([pumps], [pumps, "none.csv"])
    ]
    assert found[0].exit_code == 0, found[0].output
    assert found[0].stdout == found[1].stdout


def test_too_few_events_are_refused(pumps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.read_csv(pumps).iloc[:30].to_csv("few.csv", index=False)
    done = CliRunner().invoke(app, ["weigh", "few.csv", *COLUMNS])
    assert done.exit_code == 2
    assert (
        "two members are needed that have an opinion on these events after the first 200; there are: none"
        in done.output
    )
