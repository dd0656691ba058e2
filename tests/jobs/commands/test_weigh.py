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
