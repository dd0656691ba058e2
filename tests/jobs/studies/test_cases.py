"""The benchmark on made-up cases that say what must alert."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from streamgauge.jobs.commands.app import app
from streamgauge.jobs.studies import cases
from streamgauge.jobs.studies.judging import Opening
from streamgauge.models.errors import InputError
from typer.testing import CliRunner

TIMES = pd.date_range("2026-01-05", periods=1500, freq="1min", tz="UTC").strftime("%Y-%m-%dT%H:%M:%SZ")


def write(folder, expected, spikes=(), packed=False):
    """A case of two entities in turn, with spikes at some rows."""
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"entity": np.array(["a", "b"])[np.arange(1500) % 2], "ts": TIMES})
    frame["value"] = np.random.default_rng(0).normal(50, 2, 1500)
    frame.loc[list(spikes), "value"] = 500.0  # even rows are a's, odd ones b's
    text = frame.to_csv(index=False)
    if packed:
        (folder / "input.csv.gz").write_bytes(gzip.compress(text.encode()))
    else:
        (folder / "input.csv").write_text(text)
    (folder / "expected.json").write_text(expected if isinstance(expected, str) else json.dumps(expected))
    return folder


def test_cases_are_run_and_shown(tmp_path):
    told = {"must_alert_rows": [[1200, 1206]], "max_false_alerts": 50, "quiet": [[1000, 1199]], "kinds": ["point"]}
    write(tmp_path / "right", told, [1200], packed=True)
    write(tmp_path / "missed", told | {"entities": {"1200": "b"}}, [1200])
    page = tmp_path / "page.md"
    done = CliRunner().invoke(app, ["benchmark", "cases", "--data", str(tmp_path), "--table", str(page), "--json"])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    rows = {row["case"]: row for row in figures["sets"]}
    assert (rows["right"]["found"], rows["missed"]["found"]) == ("1/1", "0/1")
    assert rows["missed"]["right"] == "no"
    assert "rows 1200 to 1206: found at" in figures["details"]["right"]["ranges"][0]
    assert (figures["cases"], figures["must_alert"], figures["found"]) == (2, 2, 1)
    assert figures["right"] == sum(row["right"] == "yes" for row in rows.values())
    assert "| missed | 1500 | 0/1 |" in page.read_text()


def opened(*incidents):
    """Incidents from row, entity and kind; each lasts 30 rows."""
    return [Opening(row, row + 30, entity, kind, "high") for row, entity, kind in incidents]


def test_incidents_are_judged_by_row_entity_and_number(tmp_path):
    expected = {
        "must_alert_rows": [[1200, 1210], [1300, 1310], [1400, 1410]],
        "entities": {"1300": "b"},
        "quiet": [[0, 999], [1000, 1199, 1]],
        "max_false_alerts": 2,
        "kinds": ["collective"],
    }
    case = cases.read(write(tmp_path / "one", expected))
    right = opened((1100, "a", "point"), (1200, "a", "collective"), (1310, "b", "point"), (1401, "a", "drift"))
    result = cases.judged(case, [*right, *opened((1402, "a", "point"))])  # a second one in the same range is not false
    assert (result.found, result.named, result.false, result.broken, result.right) == (3, 1, 1, 0, True)
    assert result.false_at == [1100]

    other = cases.judged(case, opened((1200, "b", "point"), (1305, "a", "point"), (1411, "a", "point")))
    assert (other.found, other.false, other.right) == (0, 3, False)

    loud = cases.judged(case, [*opened((5, "b", "point")), *right])
    assert (loud.found, loud.false, loud.broken, loud.right) == (3, 2, 1, False)
    twice = cases.judged(case, [*opened((1150, "b", "point")), *right])
    assert (twice.broken, twice.right) == (1, False)


def test_a_missed_range_names_the_incident_that_covers_it(tmp_path):
    case = cases.read(write(tmp_path / "one", {"must_alert_rows": [[1210, 1220]], "max_false_alerts": 9}))
    result = cases.judged(case, opened((1190, "a", "point"), (1195, "b", "point")))
    assert result.details == ["rows 1210 to 1220: missed, within the incident that opened at 1190"]


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ("{", "expected.json"),
        ({"must_alert_rows": [["x", 3]]}, r"must_alert_rows\.0\.0"),
        ({"must_alert_rows": [[3, 5000]]}, r"\[3, 5000\] is not within the 1500 rows"),
        ({"quiet": [[20, 10]]}, r"\[20, 10\] is not within the 1500 rows"),
        ({"quiet": [[1490, 1500, 2]]}, r"\[1490, 1500\] is not within the 1500 rows"),
    ],
)
def test_a_bad_expectation_is_named(tmp_path, expected, message):
    with pytest.raises(InputError, match=message):
        cases.read(write(tmp_path / "bad", expected))


def test_missing_files_and_columns_are_named(tmp_path):
    with pytest.raises(InputError, match="holds no case"):
        cases.folders(tmp_path)
    folder = write(tmp_path / "one", {})
    (folder / "input.csv").write_text("entity,value\na,1\n")
    with pytest.raises(InputError, match="no column 'ts'"):
        cases.read(folder)
    (folder / "input.csv").unlink()
    with pytest.raises(InputError, match=r"neither input\.csv nor input\.csv\.gz"):
        cases.read(folder)
