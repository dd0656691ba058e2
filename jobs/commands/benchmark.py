"""The command that measures the detection on public benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.progress import Progress, TextColumn
from rich.table import Table
from streamgauge.jobs.commands.options import AsJson, SettingsFile
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json, progress, write_text
from streamgauge.jobs.settings.loading import Settings, load
from streamgauge.jobs.studies import benchmark as benchmarking
from streamgauge.jobs.studies import cases, labelled
from streamgauge.models.errors import InputError

app = command_line()
OWN = ("labelled", "cases")  # benchmarks on whatever data the user has


@app.command(epilog="Example: `streamgauge benchmark nab --data ../data --json`")
def benchmark(
    suite: Annotated[
        Literal["nab", "kdd", "tabular", "skab", "labelled", "cases"],
        typer.Argument(
            help="The benchmark; labelled: families of labelled series; cases: streams that say what must alert."
        ),
    ],
    data: Annotated[Path, typer.Option(help="Folder with the archives of the benchmark, or with its files.")],
    settings: SettingsFile = None,
    family: Annotated[
        list[str] | None, typer.Option(help="labelled: a family; may be given more than once. All by default.")
    ] = None,
    skip: Annotated[
        int,
        typer.Option(
            min=0,
            help="labelled: leave out this many rows at the beginning of each series, to see which figures are chance.",
        ),
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(help="labelled: HTML page to write, with a row and a plot for each series.")
    ] = None,
    table_out: Annotated[
        Path | None,
        typer.Option(
            "--table",
            help="Markdown page to write; by default docs/scores-SUITE.md if there is a folder docs, except for labelled and cases.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure how well the pipeline detects on a public benchmark: one configuration, row by row, without labels."""
    with clear_errors():
        if suite != "labelled" and (family or skip or out):
            raise InputError(f"--family, --skip and --out belong to the benchmark labelled, not to {suite}")
        figures = _measured(suite, data, load(settings), tuple(family or ()), skip, out)
        if table_out is None and suite not in OWN and Path("docs").is_dir():
            table_out = Path("docs") / f"scores-{suite}.md"
        if table_out is not None:
            write_text(table_out, benchmarking.table(suite, figures))
            console.print(f"wrote {table_out}")
    if as_json:
        print_json(figures)
        return
    sets = figures.get("sets", [])
    if sets:
        each = Table()
        for name in sets[0]:
            each.add_column(name.replace("_", " "), no_wrap=name in ("family", "case"))
        for row in sets:
            each.add_row(*map(benchmarking.cell, row.values()))
        console.print(each)
    shown = Table(show_header=False)
    for name, value in benchmarking.shown(figures).items():
        shown.add_row(name.replace("_", " "), benchmarking.cell(value))
    console.print(shown)


def _measured(
    suite: str, data: Path, settings: Settings, chosen: tuple[str, ...], skip: int, out: Path | None
) -> dict[str, Any]:
    """The figures of a benchmark, with a progress bar meanwhile."""
    if suite not in OWN:
        with Progress(*Progress.get_default_columns()[:1], TextColumn("{task.completed} rows"), console=console) as bar:
            task = bar.add_task(suite, total=None)
            return benchmarking.run(suite, data, settings, lambda n: bar.advance(task, n))
    with progress() as bar:
        task = bar.add_task("rows", total=None)
        follow: dict[str, Any] = {
            "on_rows": lambda n: bar.advance(task, n),
            "on_total": lambda n: bar.update(task, total=n),
        }
        if suite == "cases":
            return cases.run(data, settings, **follow)
        archives = labelled.families(data, chosen)
        follow["skip"] = skip
        if out is None:
            return labelled.run(archives, settings, **follow)[0]
        from streamgauge.jobs.pages.labelled_page import draw, page  # noqa: PLC0415 - needs matplotlib

        figures, results = labelled.run(archives, settings, draw, **follow)
        write_text(out, page(figures, results))
        console.print(f"wrote {out}")
        return figures
