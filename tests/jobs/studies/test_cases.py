"""The benchmark on made-up cases that say what must alert."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from streamgauge.jobs.commands.app import app
from streamgauge.jobs.settings.loading import Settings
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
    frame.loc[list(spikes), "value"] = 500.0
    text = frame.to_csv(index=False)
    if packed:
        (folder / "input.csv.gz").write_bytes(gzip.compress(text.encode()))
    else:
        (folder / "input.csv").write_text(text)
    (folder / "expected.json").write_text(expected if isinstance(expected, str) else json.dumps(expected))
    return folder


def test_found_false_and_quiet_are_judged_and_shown(tmp_path):
    told = {"must_alert_rows": [[1200, 1206]], "max_false_alerts": 50, "quiet": [[1000, 1199]], "kinds": ["point"]}
    write(tmp_path / "right", told, [1200], packed=True)
    write(tmp_path / "missed", told | {"entities": {"1200": "b"}}, [1200])
    write(tmp_path / "loud", told | {"quiet": [[1100, 1199, 0]]}, [1150, 1200])
    write(tmp_path / "false", told | {"max_false_alerts": 0, "quiet": []}, [1150, 1200])
    done = CliRunner().invoke(app, ["benchmark", "cases", "--data", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    rows = {row["case"]: row for row in figures["sets"]}
    assert rows["right"]["found"] == "1/1"
    assert (rows["right"]["broken"], rows["right"]["right"]) == ("0/1", "yes")
    assert (rows["missed"]["found"], rows["missed"]["right"]) == ("0/1", "no")
    assert rows["loud"]["broken"] == "1/1"
    assert (rows["false"]["right"], rows["false"]["allowed"]) == ("no", 0)
    assert any(1150 <= row <= 1156 for row in figures["details"]["false"]["false_at"])
    assert "rows 1200 to 1206: found at" in figures["details"]["right"]["ranges"][0]
    assert (figures["cases"], figures["must_alert"], figures["found"]) == (4, 4, 3)
    assert figures["right"] == sum(row["right"] == "yes" for row in rows.values())


def test_a_missed_range_names_the_incident_that_covers_it(tmp_path):
    case = cases.read(write(tmp_path / "one", {"must_alert_rows": [[1210, 1220]], "max_false_alerts": 9}))
    covering = Opening(1200, 1230, "a", "point", "high")
    assert cases._told(1210, 1220, None, [covering]).endswith("within the incident that opened at 1200")
    result = cases.judge(case, Settings())
    assert (result.found, result.must, result.right) == (0, 1, False)


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ("{", "expected.json"),
        ({"must_alert_rows": [["x", 3]]}, r"must_alert_rows\.0\.0"),
        ({"must_alert_rows": [[3, 5000]]}, r"\[3, 5000\] is not within the 1500 rows"),
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
