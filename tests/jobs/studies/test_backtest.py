"""The backtest is the pipeline on files."""

from __future__ import annotations

import csv
import json

import numpy as np
import pandas as pd
import pytest
from streamgauge.jobs.commands.app import app
from streamgauge.jobs.files.read_files import Columns
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.backtest import backtest, summary
from streamgauge.models.errors import InputError
from typer.testing import CliRunner


@pytest.fixture
def table(tmp_path):
    random = np.random.default_rng(0)
    n = 3000
    frame = pd.DataFrame(
        {
            "ts": pd.date_range("2024-01-01", periods=n, freq="min").astype(str),
            "card": [f"c{i % 3}" for i in range(n)],
            "amount": random.normal(100, 10, n).round(3),
            "items": random.normal(3, 1, n).round(3),
            "label": 0,
        }
    )
    frame.loc[2500:2502, ["amount", "label"]] = [900.0, 1]
    file = tmp_path / "cards.csv"
    frame.to_csv(file, index=False)
    return file


COLUMNS = Columns(entity="card", time="ts", label="label")


def test_a_planted_anomaly_is_on_top(table):
    [result] = backtest([table], Settings(), COLUMNS)
    assert len(result.scores) == 3000
    assert set(np.argsort(-result.scores)[:3]) == {2500, 2501, 2502}
    assert result.flags[2500:2503].all()
    assert result.entities[:4] == ["c0", "c1", "c2", "c0"]
    told = summary([result])
    assert told["recall"] == 1.0
    assert told["roc_auc"] > 0.99
    assert told["scored"] == 3000


def test_all_kinds_of_files_give_the_same(table, tmp_path):
    frame = pd.read_csv(table)
    frame.to_json(tmp_path / "cards.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "cards.parquet")
    [a], [b], [c] = (
        backtest([tmp_path / f"cards.{kind}"], Settings(), COLUMNS) for kind in ("csv", "jsonl", "parquet")
    )
    np.testing.assert_array_equal(a.scores, b.scores)
    np.testing.assert_array_equal(a.scores, c.scores)
    assert a.alerts == b.alerts == c.alerts


def test_files_are_streams_of_their_own_unless_they_are_one(table, tmp_path):
    frame = pd.read_csv(table)
    halves = [tmp_path / "one.csv", tmp_path / "two.csv"]
    frame[:1500].to_csv(halves[0], index=False)
    frame[1500:].to_csv(halves[1], index=False)
    [whole] = backtest([table], Settings(), COLUMNS)
    [joined] = backtest(halves, Settings(), COLUMNS, one_stream=True)
    np.testing.assert_array_equal(joined.scores, whole.scores)
    apart = backtest(halves, Settings(), COLUMNS)
    np.testing.assert_array_equal(apart[0].scores, whole.scores[:1500])
    assert (apart[1].scores[:50] == 0).all()


def test_the_command_writes_one_row_for_each_input_row(table, tmp_path):
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


def test_without_columns_the_file_is_the_entity(tmp_path):
    file = tmp_path / "sensor.csv"
    file.write_text("value\n" + "\n".join(str(i % 7) for i in range(50)))
    [result] = backtest([file], Settings())
    assert set(result.entities) == {"sensor"}
    assert len(result.scores) == 50


@pytest.mark.parametrize(
    ("name", "text", "columns", "words"),
    [
        ("a.csv", "x\n1\n", Columns(entity="y"), "no column 'y' .--entity-column.; it has: x"),
        ("a.csv", "x\nsoon\n", Columns(time="x"), "'x' does not hold times"),
        ("a.txt", "x", Columns(), ".txt is not known; allowed: .csv, .jsonl"),
        ("a.jsonl", "{", Columns(), "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, name, text, columns, words):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        backtest([file], Settings(), columns)


def test_a_missing_file_is_named_by_the_command():
    done = CliRunner().invoke(app, ["backtest", "nowhere.csv"])
    assert done.exit_code == 2
    assert "no such file: nowhere.csv" in done.output


def test_rows_without_times_are_all_scored(tmp_path):
    pd.DataFrame({"x": np.arange(2000.0)}).to_csv(tmp_path / "plain.csv", index=False)
    [result] = backtest([tmp_path / "plain.csv"], Settings())
    assert result.counts["scored"] == 2000
