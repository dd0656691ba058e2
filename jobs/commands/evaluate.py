"""The command that measures the quality of detection on labelled files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from streamgauge.jobs.commands.backtest import backtested, not_read
from streamgauge.jobs.commands.columns import EventColumns, tell_of_files
from streamgauge.jobs.commands.options import AsJson, SettingsFile, with_options
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json, write_text
from streamgauge.jobs.files.sources import local
from streamgauge.jobs.settings.loading import load
from streamgauge.jobs.studies import evaluate as evaluation

app = command_line()
MOST_COST = 1e12  # of a mistake; an infinite one could not be added up


@dataclass(frozen=True)
class Costs:
    """The cost of mistakes."""

    missed_cost: Annotated[float, typer.Option(min=0, max=MOST_COST, help="Cost of an anomaly without an alert.")] = (
        10.0
    )
    false_cost: Annotated[float, typer.Option(min=0, max=MOST_COST, help="Cost of an alert without an anomaly.")] = 1.0


@app.command(
    epilog="Example: `streamgauge evaluate cards.csv --entity-column card --label-column fraud --page report.html`"
)
@with_options
def evaluate(
    files: Annotated[
        list[Path], typer.Argument(help="CSV, JSONL or Parquet with labels; each file is a separate stream.")
    ],
    label_column: Annotated[
        str, typer.Option(help="Column that is above 0 for anomalies; used to judge, never to learn.")
    ],
    columns: EventColumns,
    costs: Costs,
    settings: SettingsFile = None,
    page: Annotated[Path, typer.Option(help="HTML page to write.")] = Path("evaluation.html"),
    against: Annotated[
        float | None, typer.Option(min=1e-300, max=0.5, help="A second threshold, to try on half of the entities.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score labelled files and write one page with all figures, intervals, thresholds and plots.

    Figures of a single member are those of the rows for which it has an opinion.
    """
    with clear_errors(), local(files) as copies:
        loaded = load(settings)
        results = backtested(copies, loaded, columns.columns(label_column))
        costs_of = (costs.missed_cost, costs.false_cost)
        figures, html = evaluation.evaluate(results, loaded.decide.threshold, *costs_of, against)
        write_text(page, html)
    console.print(f"wrote {page}")
    report = not_read(results)
    if as_json:
        print_json({**figures, "not_read": report.as_list()})
    else:
        table = Table("figure", "value", "95 % interval")
        for name, (low, high) in figures["intervals"].items():
            table.add_row(name, f"{figures[name]:.3f}", f"{low:.3f} to {high:.3f}")
        console.print(table)
        if "trial" in figures:
            trial = figures["trial"]
            console.print(
                f"{trial['verdict']}: precision differs by {trial['difference']} ({trial['low']} to {trial['high']})"
            )
    tell_of_files(report)
    columns.end(report)
