"""The command that measures the detection on public benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import Progress, TextColumn
from rich.table import Table
from streamgauge.jobs.commands.options import AsJson, SettingsFile
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json, write_text
from streamgauge.jobs.settings.loading import load
from streamgauge.jobs.studies import benchmark as benchmarking

app = command_line()


@app.command(epilog="Example: `streamgauge benchmark nab --data ../data --json`")
def benchmark(
    suite: Annotated[Literal["nab", "kdd", "tabular", "skab"], typer.Argument(help="The benchmark.")],
    data: Annotated[Path, typer.Option(help="Folder with the archive of the benchmark, or with its files.")],
    settings: SettingsFile = None,
    table_out: Annotated[
        Path | None,
        typer.Option(
            "--table", help="Markdown page to write; by default docs/scores-SUITE.md, if there is a folder docs."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure how well the pipeline detects on a public benchmark: one configuration, row by row, without labels."""
    with clear_errors():
        with Progress(*Progress.get_default_columns()[:1], TextColumn("{task.completed} rows"), console=console) as bar:
            task = bar.add_task(suite, total=None)
            figures = benchmarking.run(suite, data, load(settings), lambda n: bar.advance(task, n))
        if table_out is None and Path("docs").is_dir():
            table_out = Path("docs") / f"scores-{suite}.md"
        if table_out is not None:
            write_text(table_out, benchmarking.table(suite, figures))
            console.print(f"wrote {table_out}")
    if as_json:
        print_json(figures)
    else:
        sets = figures.get("sets", [])
        if sets:
            each = Table(*(name.replace("_", " ") for name in sets[0]))
            for row in sets:
                each.add_row(*map(benchmarking.cell, row.values()))
            console.print(each)
        shown = Table(show_header=False)
        for name, value in figures.items():
            if name != "sets":
                shown.add_row(name.replace("_", " "), benchmarking.cell(value))
        console.print(shown)
