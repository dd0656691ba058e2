"""The backtest scores files as the job would score them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from streamgauge.jobs.files.read_files import Columns
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.backtest import backtest, summary, write_scores
from streamgauge.models.errors import InputError

COLUMNS = Columns(entity="card", time="ts", label="label")


def test_the_anomalous_rows_have_the_highest_scores(table):
    [result] = backtest([table], Settings(), COLUMNS)
    assert len(result.scores) == 3000
    assert set(np.argsort(-result.scores)[:3]) == {2500, 2501, 2502}
    assert result.flags[2500:2503].all()
    assert result.entities[:4] == ["c0", "c1", "c2", "c0"]
    figures = summary([result])
    assert figures["recall"] == 1.0
    assert figures["roc_auc"] > 0.99
    assert figures["scored"] + figures["unjudged"] == figures["events"] == 3000
    assert 0 < figures["unjudged"] < 300  # only before much is known
    assert figures["unjudged"] == (~result.judged).sum()
    assert not result.scores[~result.judged].any()


def test_csv_jsonl_and_parquet_give_the_same_scores_and_alerts(table, tmp_path):
    frame = pd.read_csv(table)
    frame.to_json(tmp_path / "cards.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "cards.parquet")
    [a], [b], [c] = (
        backtest([tmp_path / f"cards.{kind}"], Settings(), COLUMNS) for kind in ("csv", "jsonl", "parquet")
    )
    np.testing.assert_array_equal(a.scores, b.scores)
    np.testing.assert_array_equal(a.scores, c.scores)
    assert a.alerts == b.alerts == c.alerts


def test_each_file_is_a_separate_stream_unless_they_are_declared_one_stream(table, tmp_path):
    frame = pd.read_csv(table)
    halves = [tmp_path / "one.csv", tmp_path / "two.csv"]
    frame[:1500].to_csv(halves[0], index=False)
    frame[1500:].to_csv(halves[1], index=False)
    [whole] = backtest([table], Settings(), COLUMNS)
    [joined] = backtest(halves, Settings(), COLUMNS, one_stream=True)
    np.testing.assert_array_equal(joined.scores, whole.scores)
    apart = backtest(halves, Settings(), COLUMNS)
    np.testing.assert_array_equal(apart[0].scores, whole.scores[:1500])
    assert whole.judged[1500]
    assert not apart[1].judged[:3].any()  # nothing is known of a new stream


def test_the_name_of_the_file_is_the_entity_without_an_entity_column(tmp_path):
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
        ("a.jsonl", '{"y": 1}', Columns(entity="x"), "no column 'x' .--entity-column.; it has: y"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(tmp_path, name, text, columns, words):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        backtest([file], Settings(), columns)


def test_rows_without_times_are_one_second_apart_and_none_is_late(tmp_path):
    pd.DataFrame({"x": np.arange(2000.0)}).to_csv(tmp_path / "plain.csv", index=False)
    [result] = backtest([tmp_path / "plain.csv"], Settings())
    assert result.counts["scored"] + result.counts["unjudged"] == 2000


def test_an_alert_about_a_silent_entity_names_the_row_of_its_last_event(tmp_path):
    random, n = np.random.default_rng(0), 9000
    frame = pd.DataFrame(
        {"at": 1_767_571_200 + 60 * np.arange(n), "host": np.arange(n) % 3, "x": random.normal(size=n)}
    )
    frame = frame[(frame.host != 2) | (frame.index < 3000)].astype({"host": str})
    frame.to_csv(tmp_path / "hosts.csv", index=False)
    settings = Settings.model_validate({"silence": {"after": 500}})
    [result] = backtest([tmp_path / "hosts.csv"], settings, Columns("host", "at"), partitions=2)
    alerts = [json.loads(alert)["data"] for alert in result.alerts]
    [silence] = [data for data in alerts if "seconds without an event" in data["actual"]]
    assert result.row_of(silence["source"]) == frame.index.get_loc(2999)


def test_a_dump_of_a_topic_is_read_as_the_job_reads_it(table, tmp_path):
    frame = pd.read_csv(table).drop(columns="label")
    lines = frame.rename(columns={"card": "entity"}).to_json(orient="records", lines=True).splitlines()
    lines[1000] = "{broken"
    lines[1001] = json.dumps({"ts": "2024-01-01", "amount": 1.0})
    (tmp_path / "dump.jsonl").write_text("\n".join(lines))
    [result] = backtest([tmp_path / "dump.jsonl"], Settings())
    assert result.entities[998:1003] == ["c2", "c0", "", "", "c0"]
    assert (result.counts["dead_letters.not_json"], result.counts["dead_letters.no_entity"]) == (1, 1)
    assert result.flags[2500:2503].all()
    assert result.times[0] == 1704067200000
    assert [(one["reason"], one["lines"]) for one in result.not_read.as_list()] == [
        ("not_json", [1001]),
        ("no_entity", [1002]),
    ]


@pytest.mark.parametrize("processes", [1, 2])
def test_rows_that_are_left_out_keep_the_numbers_of_the_others(tmp_path, processes):
    files = [tmp_path / "one.csv", tmp_path / "two.csv"]
    for file in files:
        file.write_text("t,x\n2024-01-01,1\n,2\n2024-01-02,3\nsoon,4\n")
    results = backtest(files, Settings(), Columns(time="t"), processes=processes)
    write_scores(results, tmp_path / "scores.csv")
    rows = [line.split(",")[:2] for line in (tmp_path / "scores.csv").read_text().splitlines()[1:]]
    assert rows == [["0", "one"], ["2", "one"], ["4", "two"], ["6", "two"]]
    assert [result.not_read.left_out for result in results] == [2, 2]
    [whole] = backtest(files, Settings(), Columns(time="t"), one_stream=True)
    assert whole.numbers.tolist() == [0, 2, 4, 6]
