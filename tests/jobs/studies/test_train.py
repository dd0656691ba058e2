"""The commands about trained models, on files and a registry in a folder."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from streamgauge.jobs.commands.app import app
from streamgauge.jobs.files.read_files import Columns
from streamgauge.jobs.studies.train import newest, parsed_offsets, parsed_settings, past_of_files
from streamgauge.models.errors import InputError
from streamgauge.models.persistence.registry import Registry
from typer.testing import CliRunner


@pytest.fixture
def pumps(tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "ts": pd.date_range("2024-01-01", periods=800, freq="min").astype(str),
            "pump": [f"p{i % 3}" for i in range(800)],
            "pressure": random.normal(4, 0.5, 800),
            "rpm": random.normal(1500, 50, 800),
            "site": "north",
            "broken": 0,
        }
    )
    frame.loc[700:720, ["pressure", "broken"]] = [9.0, 1]
    frame.to_csv(tmp_path / "pumps.csv", index=False)
    return tmp_path / "pumps.csv"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        chosen = [str(a) for a in arguments]
        return CliRunner().invoke(app, [*chosen, "--registry", "models"], env={"COLUMNS": "200", "NO_COLOR": "1"})

    return invoke


COLUMNS = ("--entity-column", "pump", "--time-column", "ts", "--label-column", "broken")


def test_a_model_is_trained_looked_at_promoted_and_rolled_back(pumps, run, tmp_path):
    done = run(
        "train", "pumps", "isolation_forest", pumps, *COLUMNS, "--set", "n_trees=20", "--licence", "CC0-1.0", "--json"
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert (told["version"], told["features"], told["settings"]["n_trees"]) == (1, ["pressure", "rpm"], 20)
    assert told["history"] | {"low": 0, "high": 0} == {
        "source": "pumps.csv", "rows": 800, "first": 1704067200000, "last": 1704115140000, "low": 0, "high": 0,
        "licence": "CC0-1.0", "left_out": "",
    }  # fmt: skip
    assert told["figures"]["roc_auc"] > 0.95
    assert run("train", "pumps", "gaussian_mixture", pumps, *COLUMNS).exit_code == 0
    registry = Registry(str(tmp_path / "models"))
    assert registry.aliases("pumps") == {"candidate": 2}
    for version in (1, "candidate"):
        done = run("models", "promote", "pumps", version, "--why", "test")
        assert done.exit_code == 0, done.output
    assert "no job is told" in done.output
    assert registry.aliases("pumps") == {"candidate": 2, "live": 2}
    assert "live is version 1 again" in run("models", "rollback", "pumps").output
    assert "version 1 stays live" in run("models", "freeze", "pumps", "--why", "audit").output
    assert registry.aliases("pumps")["frozen"] == 1
    assert registry.history("pumps", "frozen")[0]["why"] == "audit"
    assert "the loop goes on" in run("models", "freeze", "pumps", "--thaw").output
    assert "frozen" not in registry.aliases("pumps")
    shown = run("models", "show", "pumps")
    assert "isolation_forest" in shown.output
    assert "live: version 1" in shown.output
    listed = json.loads(run("models", "list", "--json").stdout.strip().splitlines()[-1])
    assert listed[0]["aliases"] == {"candidate": 2, "live": 1}
    assert run("models", "verify").exit_code == 0
    assert "nothing to delete" in run("models", "gc").output
    next((tmp_path / "models" / "pumps" / "files").iterdir()).write_bytes(b"x")
    broken = run("models", "verify")
    assert broken.exit_code == 1
    assert "was changed" in broken.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("train", "p", "clairvoyant", "FILE"),
            "'clairvoyant' is none that is trained; these are: isolation_forest, one_class",
        ),
        (
            ("train", "p", "isolation_forest", "FILE", "--set", "trees=3"),
            "isolation_forest takes n_trees, part, trim, seed",
        ),
        (("train", "p", "isolation_forest", "FILE", "--set", "trees"), "write NAME=VALUE"),
        (("train", "p", "isolation_forest", "FILE", "--drop", "rmp"), "has no column 'rmp'"),
        (("train", "p", "isolation_forest", "FILE", "--last", "500"), "name files, or these"),
        (("train", "p", "isolation_forest", "FILE", "--set", "n_trees=10000000"), "a model may take 500 MB"),
        (("train", "../p", "isolation_forest", "FILE"), "cannot be the name of a model"),
        (("train", "p", "isolation_forest", "nofile.csv"), "no such file"),
        (("models", "show", "p"), "p has no alias 'live' in models; aliases: none"),
        (("models", "verify", "p"), "there is no model 'p'"),
        (("models", "promote", "p", "7"), "there is no p version 7 in models; versions: none"),
    ],
)
def test_what_is_wrong_is_named(pumps, run, arguments, words):
    done = run(*(pumps if a == "FILE" else a for a in arguments))
    assert done.exit_code in (1, 2)
    assert words in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_without_a_registry_one_is_asked_for():
    done = CliRunner().invoke(app, ["models", "list"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "name a registry" in done.output


def test_text_columns_and_named_columns_are_no_features(pumps):
    past = past_of_files([pumps], Columns(entity="pump", time="ts", label="broken", drop=("rpm",)))
    assert past.features == ["pressure"]
    assert past.groups[:4].tolist() == [0, 1, 2, 0]
    assert past.labels.sum() == 21


def test_offsets_and_settings_are_read_as_written():
    assert parsed_offsets(["0:5-9", "3:0-1"]) == {0: (5, 9), 3: (0, 1)}
    for wrong in ("0:9-5", "x", "0:1"):
        with pytest.raises(InputError, match="PARTITION:FROM-TO"):
            parsed_offsets([wrong])
    assert parsed_settings(["hidden=8", "trim=0.1", "nu=null"]) == {"hidden": 8, "trim": 0.1, "nu": None}


def test_the_newest_events_come_evenly_from_partitions_as_far_as_they_reach():
    assert newest({0: (0, 10), 1: (0, 1000), 2: (500, 1500)}, 410) == {0: (0, 10), 1: (800, 1000), 2: (1300, 1500)}
    assert newest({0: (3, 3), 1: (0, 5)}, 100) == {0: (3, 3), 1: (0, 5)}


def test_members_are_weighed_with_labels_and_without(pumps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with_labels = CliRunner().invoke(app, ["weigh", str(pumps), *COLUMNS, "--json"])
    assert with_labels.exit_code == 0, with_labels.output
    told = {one["member"]: one for one in json.loads(with_labels.stdout.strip().splitlines()[-1])}
    assert told["histogram_density"]["roc_auc"] > 0.9
    plain = pd.read_csv(pumps).drop(columns="broken")
    plain.to_csv(tmp_path / "plain.csv", index=False)
    without = CliRunner().invoke(app, ["weigh", str(tmp_path / "plain.csv"), *COLUMNS[:4], "--json"])
    told = json.loads(without.stdout.strip().splitlines()[-1])
    assert {set(one) == {"member", "weight"} for one in told} == {True}
