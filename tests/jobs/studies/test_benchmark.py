"""The benchmarks, on small data with the layout of the real archives."""

from __future__ import annotations

import json
import tarfile

import numpy as np
import pandas as pd
import pytest
from streamgauge.jobs.commands.app import app
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies import benchmark
from streamgauge.models.errors import InputError
from typer.testing import CliRunner


@pytest.fixture
def nab(tmp_path):
    """One series with one labelled spike, packed as the corpus is."""
    folder = tmp_path / "nab"
    (folder / "data" / "made").mkdir(parents=True)
    (folder / "labels").mkdir()
    frame = pd.DataFrame(
        {
            "timestamp": pd.date_range("2024-01-01", periods=2000, freq="5min").astype(str),
            "value": np.random.default_rng(0).normal(50, 2, 2000),
        }
    )
    frame.loc[1500, "value"] = 500.0
    frame.to_csv(folder / "data" / "made" / "spike.csv", index=False)
    window = [frame.timestamp[1490], frame.timestamp[1530]]
    (folder / "labels" / "combined_windows.json").write_text(json.dumps({"made/spike.csv": [window]}))
    with tarfile.open(tmp_path / "nab.tar.gz", "w:gz") as tar:
        tar.add(folder, "nab")
    return tmp_path


def test_nab_finds_the_spike_and_writes_the_page(nab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["benchmark", "nab", "--data", str(nab), "--table", "out/page.md", "--json"])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    assert figures["standard"] > 80
    assert figures["fixed_standard"] > 80
    assert figures["alerts_standard"] > 80
    assert (figures["all"]["windows_found"], figures["all"]["windows"]) == (1, 1)
    assert figures["opensearch_five"]["windows"] == 0
    assert "| standard |" in (tmp_path / "out" / "page.md").read_text()


def test_labelled_sets_compare_the_ensemble_with_its_members(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "tabular").mkdir()
    X, y = random.normal(size=(5000, 4)), np.zeros(5000)
    X[:60], y[:60] = X[:60] + 6, 1
    np.savez(tmp_path / "tabular" / "made.npz", X=X, y=y)
    figures = benchmark.run("tabular", tmp_path, Settings())
    assert set(figures["mean_auroc"]) == {"ensemble", "histogram_density", "loda", "online_isolation_forest"}
    assert figures["mean_auroc"]["ensemble"] > 0.95
    assert "| made | 5000 | 4 |" in benchmark.table("tabular", figures)


def test_kdd_judges_http_and_also_only_the_connections_that_were_logged_in(tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.gamma(2.0, 1.0, (4000, 42)))
    frame[2] = np.where(np.arange(4000) % 4 == 0, "smtp", "http")
    frame[11] = (np.arange(4000) % 8 != 1).astype(int)
    attacks = (frame[2] == "http") & (frame[11] == 1) & (random.random(4000) < 0.01)
    frame[41] = np.where(attacks, "back.", "normal.")
    frame.loc[attacks, 12:30] += 10.0
    (tmp_path / "kdd99_10pct").mkdir()
    frame.to_csv(tmp_path / "kdd99_10pct" / "kddcup.data_10_percent", header=False, index=False)
    done = CliRunner().invoke(
        app, ["benchmark", "kdd", "--data", str(tmp_path), "--table", str(tmp_path / "kdd.md")], env={"COLUMNS": "200"}
    )
    assert done.exit_code == 0, done.output
    page = (tmp_path / "kdd.md").read_text()
    assert "| kdd http | 3000 | 40 |" in page
    assert "| logged_in_records | 2500 |" in page
    assert "kdd http" in done.output
    assert "logged in auroc" in done.output
    figures = benchmark.run("kdd", tmp_path, Settings())
    assert figures["logged_in_auroc"]["ensemble"] > 0.95


def test_missing_data_are_an_error_that_names_what_was_expected(tmp_path):
    with pytest.raises(InputError, match=r"neither nab\.tar\.gz nor the folder nab"):
        benchmark.run("nab", tmp_path, Settings())


@pytest.mark.parametrize("suite", ["nab", "kdd", "tabular", "skab"])
def test_a_damaged_archive_is_named(tmp_path, suite):
    name = "kdd99_10pct" if suite == "kdd" else suite
    (tmp_path / f"{name}.tar.gz").write_bytes(b"nothing")
    with pytest.raises(InputError, match=rf"{name}\.tar\.gz cannot be read"):
        benchmark.run(suite, tmp_path, Settings())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"made/spike.csv": [', "truncated"),
        ("[]", "Expected `object`, got `array`"),
        ('{"made/spike.csv": []}', "names no window"),
        ('{"made/spike.csv": [["2024-01-01 00:00:00"]]}', "Expected `array` of length 2"),
        (
            '{"made/spike.csv": [["2024-01-01 00:00:00", "soon"]]}',
            "made/spike.csv: a window .* no time of the file: .*soon",
        ),
        ('{"made/spike.csv": [["2024-01-01 00:00:01", "2024-01-02"]]}', "a window .* no time of the file: .*00:00:01"),
    ],
)
def test_damaged_windows_of_nab_are_named(nab, content, words):
    (nab / "nab.tar.gz").unlink()
    (nab / "nab" / "labels" / "combined_windows.json").write_text(content)
    with pytest.raises(InputError, match=rf"combined_windows\.json.*{words}"):
        benchmark.run("nab", nab, Settings())


@pytest.mark.parametrize(
    ("suite", "name", "content"),
    [
        ("nab", "nab/data/made/spike.csv", b"time,value\n1,2\n"),
        ("nab", "nab/data/made/spike.csv", b"timestamp,value\n2024-01-01,2\nsoon,3\n"),
        ("kdd", "kdd99_10pct/kddcup.data", b"a,b\n1,2\n"),
        ("kdd", "kdd99_10pct/kddcup.data.gz", b"nothing"),
        ("tabular", "tabular/made.npz", b"nothing"),
        ("skab", "skab/made.csv", b"datetime;anomaly;x\n1;0;2\n"),
    ],
)
def test_a_damaged_file_is_named(nab, suite, name, content):
    (nab / "nab.tar.gz").unlink()
    (nab / name).parent.mkdir(exist_ok=True)
    (nab / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} cannot be read: .*[^\n]$"):
        benchmark.run(suite, nab, Settings())


@pytest.mark.parametrize("labels", [np.zeros(2000), np.ones(2000)])
def test_labels_that_are_all_alike_are_refused(tmp_path, labels):
    (tmp_path / "tabular").mkdir()
    np.savez(tmp_path / "tabular" / "made.npz", X=np.zeros((2000, 2)), y=labels)
    with pytest.raises(InputError, match="made: the labels that are judged are all alike"):
        benchmark.run("tabular", tmp_path, Settings())


def test_data_without_labels_are_refused(tmp_path):
    (tmp_path / "x.csv").write_text("datetime;value\n2024-01-01;1\n")
    with pytest.raises(InputError, match="no labelled set"):
        benchmark.run("skab", tmp_path, Settings())
