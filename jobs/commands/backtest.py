"""The command that runs the job's pipeline on files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from streamgauge.jobs.commands.columns import LabelledColumns
from streamgauge.jobs.commands.options import AsJson, SettingsFile, Streams, with_options
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, need_files, print_json, progress
from streamgauge.jobs.files.read_files import Columns, count_rows
from streamgauge.jobs.settings.loading import Settings, load
from streamgauge.jobs.studies import backtest as backtesting
from streamgauge.jobs.studies.backtest import Backtest

app = command_line()


@app.command(epilog="Example: `streamgauge backtest examples/nab/*.csv --time-column timestamp --scores scores.csv`")
@with_options
def backtest(
    files: Streams,
    columns: LabelledColumns,
    settings: SettingsFile = None,
    scores: Annotated[Path | None, typer.Option(help="CSV file to write: row, entity, score, alert.")] = None,
    alerts_out: Annotated[Path | None, typer.Option("--alerts", help="JSONL file to write the alerts to.")] = None,
    one_stream: Annotated[bool, typer.Option(help="Read the files as one stream, one after the other.")] = False,
    partitions: Annotated[int, typer.Option(min=1, help="Number of Kafka partitions to act as.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Run the job's pipeline on files in row order, without Flink, on all cores.

    `alert` is 1 for rows at or beyond the threshold. A row that is a dead letter, or late, has the score 0.
    """
    with clear_errors():
        results = backtested(files, load(settings), columns.columns(), one_stream=one_stream, partitions=partitions)
        if scores is not None:
            backtesting.write_scores(results, scores)
        if alerts_out is not None:
            with alerts_out.open("wb") as out:
                out.writelines(alert + b"\n" for result in results for alert in result.alerts)
    figures = backtesting.summary(results)
    if as_json:
        print_json(figures)
    else:
        table = Table(show_header=False)
        for name, value in figures.items():
            table.add_row(name.replace("_", " "), f"{value:.4f}" if isinstance(value, float) else str(value))
        console.print(table)


def backtested(files: list[Path], settings: Settings, columns: Columns, **options: Any) -> list[Backtest]:
    """Backtest files and show a progress bar; see `streamgauge.jobs.studies.backtest.backtest`."""
    need_files(files)
    with progress() as bar:
        task = bar.add_task("rows", total=sum(map(count_rows, files)))
        return backtesting.backtest(files, settings, columns, on_rows=lambda n: bar.advance(task, n), **options)
