"""`streamgauge evaluate` writes a page with the quality of detection."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from streamgauge.jobs.commands.app import app
from typer.testing import CliRunner


@pytest.fixture
def cards(tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "card": [f"c<{i % 3}>" for i in range(3000)],
            "amount": random.normal(100, 10, 3000),
            "items": random.normal(3, 1, 3000),
        }
    )
    frame["fraud"] = 0
    frame.loc[2000:2990:91, ["amount", "fraud"]] = [900.0, 1]
    file = tmp_path / "cards<1>.csv"
    frame.to_csv(file, index=False)
    return file


def evaluate(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_the_page_has_all_figures_and_plots_and_escapes_names_from_the_data(cards, tmp_path):
    page = tmp_path / "out" / "page.html"
    done = evaluate(cards, "--entity-column", "card", "--label-column", "fraud", "--page", page, "--json")
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    assert figures["recall"] > 0.8
    assert figures["roc_auc"] > 0.95
    low, high = figures["intervals"]["recall"]
    assert low <= figures["recall"] <= high
    html = page.read_text()
    assert html.count("data:image/png;base64,") == 6
    assert "best F1 (labels)" in html
    assert "<td>c&lt;1&gt;</td>" in html
    assert "c<1>" not in html
    assert figures["kinds"]["point"]["true"] >= 8
    ensemble = {"loda", "histogram_density", "online_isolation_forest", "extreme_value"}
    assert set(figures["members"]) > ensemble
    assert set(figures["members"]) - ensemble <= {
        "level",
        "change",
        "departure",
        "recent",
        "lasting",
        "drifting",
        "fields",
        "relations",
    }
    assert figures["members"]["histogram_density"]["roc_auc"] > 0.95
    assert "<td>histogram_density</td>" in html
    assert "10.0 for a miss, 1.0 for a false alarm" in html
    assert "trial" not in figures


def test_two_thresholds_are_tried_on_two_halves_of_the_entities_and_there_is_a_verdict(tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"card": [f"c{i % 40}" for i in range(20_000)], "amount": random.normal(size=20_000)})
    frame["items"], frame["fraud"] = random.normal(size=20_000), 0
    frame.loc[5000:20_000:50, ["amount", "fraud"]] = [40.0, 1]
    frame.to_csv(tmp_path / "cards.csv", index=False)
    # Scores of what resembles the past stay below 1 in 10,000, so a trial on scores needs thresholds above that.
    (tmp_path / "settings.yaml").write_text("decide: {threshold: 0.001}")
    arguments = (
        "--settings",
        tmp_path / "settings.yaml",
        "--entity-column",
        "card",
        "--label-column",
        "fraud",
        "--page",
        tmp_path / "page.html",
        "--against",
        "0.1",
    )
    done = evaluate(tmp_path / "cards.csv", *arguments)
    assert done.exit_code == 0, done.output
    assert "0.001 is better: precision differs by -0." in done.output
    assert "Trial of two thresholds" in (tmp_path / "page.html").read_text()


def test_an_infinite_cost_is_refused(cards):
    done = evaluate(cards, "--label-column", "fraud", "--missed-cost", "inf", "--json")
    assert done.exit_code == 2
    assert "--missed-cost" in done.output


def test_names_from_the_data_are_escaped_in_the_page(cards, tmp_path):
    evaluate(cards, "--label-column", "fraud", "--page", tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "cards&lt;1&gt;" in html
    assert "cards<1>" not in html


def test_labels_that_are_no_numbers_are_refused(cards, tmp_path):
    pd.read_csv(cards).assign(fraud="usual").to_csv(tmp_path / "text.csv", index=False)
    done = evaluate(tmp_path / "text.csv", "--label-column", "fraud", "--page", tmp_path / "page.html")
    assert done.exit_code == 2
    assert "the column 'fraud' must hold numbers, above 0 for anomalies; it holds 'usual'" in done.output


def test_a_page_that_cannot_be_written_is_named(cards, tmp_path):
    (tmp_path / "file").write_text("")
    pd.read_csv(cards).iloc[1900:2300].to_csv(few := tmp_path / "few.csv", index=False)
    done = evaluate(few, "--label-column", "fraud", "--page", tmp_path / "file" / "page.html")
    assert done.exit_code == 1
    assert "file: " in done.output
    assert "Traceback" not in done.output


def test_labels_that_are_all_alike_are_refused(cards, tmp_path):
    frame = pd.read_csv(cards).assign(fraud=0)
    frame.to_csv(tmp_path / "none.csv", index=False)
    done = evaluate(tmp_path / "none.csv", "--label-column", "fraud", "--page", tmp_path / "page.html")
    assert done.exit_code == 2
    assert "all 3000 labels are 0: nothing can be compared" in done.output
    frame.iloc[:0].to_csv(tmp_path / "no_rows.csv", index=False)
    done = evaluate(tmp_path / "no_rows.csv", "--label-column", "fraud", "--page", tmp_path / "page.html")
    assert done.exit_code == 2
    assert "all 0 labels are 0: nothing can be compared" in done.output


def test_what_was_not_read_is_an_error_with_strict(cards, tmp_path):
    cards.write_text(cards.read_text() + "c<0>,ERR,3,0\n")
    page = ("--label-column", "fraud", "--page", tmp_path / "page.html", "--json", "--strict")
    done = evaluate(cards, "--entity-column", "card", *page)
    assert done.exit_code == 1
    assert [one["lines"] for one in json.loads(done.stdout.strip().splitlines()[-1])["not_read"]] == [[3002]]
