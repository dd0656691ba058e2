"""The command that runs the job's pipeline on files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from streamgauge.jobs.commands.columns import LabelledColumns, tell_of_files
from streamgauge.jobs.commands.options import AsJson, SettingsFile, Streams, with_options
from streamgauge.jobs.commands.terminal import (
    clear_errors,
    command_line,
    console,
    print_json,
    progress,
    write_text,
)
from streamgauge.jobs.files.not_read import NotRead
from streamgauge.jobs.files.read_files import Columns, count_rows
from streamgauge.jobs.files.sources import local
from streamgauge.jobs.settings.loading import Settings, load
from streamgauge.jobs.studies import backtest as backtesting
from streamgauge.jobs.studies.backtest import Backtest
from streamgauge.jobs.studies.incident_series import FileSource

app = command_line()


@dataclass(frozen=True)
class Output:
    """The files to write."""

    page: Annotated[Path, typer.Option(help="HTML page to write.")] = Path("backtest.html")
    scores: Annotated[Path | None, typer.Option(help="CSV file to write: row, entity, score, alert.")] = None
    alerts: Annotated[Path | None, typer.Option(help="JSONL file to write the alerts to.")] = None


@app.command(epilog="Example: `streamgauge backtest examples/nab/*.csv --time-column timestamp --scores scores.csv`")
@with_options
def backtest(
    files: Streams,
    columns: LabelledColumns,
    output: Output,
    settings: SettingsFile = None,
    one_stream: Annotated[bool, typer.Option(help="Read the files as one stream, one after the other.")] = False,
    partitions: Annotated[int, typer.Option(min=1, help="Number of Kafka partitions to act as.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Run the job's pipeline on files in row order, without Flink, on all cores; write a page about what it found.

    The page shows the promise and what came by age of the entities, the incidents on their series, and what was set aside.
    `alert` is 1 for rows at or beyond the threshold. A row that was not judged, is a dead letter, or is late, has no score.
    """
    with clear_errors(), local(files) as copies:
        loaded, taken = load(settings), columns.columns()
        results = backtested(copies, loaded, taken, one_stream=one_stream, partitions=partitions)
        if output.scores is not None:
            backtesting.write_scores(results, output.scores)
        if output.alerts is not None:
            write_alerts(results, output.alerts)
        report = not_read(results)
        figures = backtesting.summary(results)
        remarks = backtesting.remarks_of(results)
        show({**figures, "not_read": report.as_list(), "remarks": remarks} if as_json else figures, as_json)
        tell_of_files(report)
        tell(remarks)
        from streamgauge.jobs.pages.backtest_page import page  # noqa: PLC0415 - needs matplotlib

        source = FileSource(backtesting.streams_of(copies, one_stream), taken, loaded.event)
        write_text(output.page, page(source, results, loaded, notes=remarks))
    console.print(f"wrote {output.page}", soft_wrap=True, highlight=False)
    columns.end(report, figures.get("unread", 0))


def backtested(files: list[Path], settings: Settings, columns: Columns, **options: Any) -> list[Backtest]:
    """Backtest files and show a progress bar; see `streamgauge.jobs.studies.backtest.backtest`."""
    with progress() as bar:
        task = bar.add_task("rows", total=sum(map(count_rows, files)))
        return backtesting.backtest(files, settings, columns, on_rows=lambda n: bar.advance(task, n), **options)


def not_read(results: list[Backtest]) -> NotRead:
    """What was not read of the files of all streams."""
    report = NotRead()
    for result in results:
        report.join(result.not_read)
    return report


def write_alerts(results: list[Backtest], path: Path) -> None:
    """Write the alerts of all streams, a line each. Missing folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        out.writelines(alert + b"\n" for result in results for alert in result.alerts)


def tell(sentences: list[str]) -> None:
    """Print sentences, a line each."""
    for sentence in sentences:
        console.print(sentence, soft_wrap=True, highlight=False, markup=False)


def show(figures: dict[str, Any], as_json: bool) -> None:
    """Print figures as a table, or as JSON."""
    if as_json:
        print_json(figures)
        return
    table = Table(show_header=False)
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), f"{value:.4f}" if isinstance(value, float) else str(value))
    console.print(table)
