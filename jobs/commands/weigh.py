"""The command that measures how well each member of the ensemble detects."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from streamgauge.jobs.commands.backtest import backtested, not_read
from streamgauge.jobs.commands.columns import LabelledColumns, tell_of_files
from streamgauge.jobs.commands.options import AsJson, SettingsFile, Streams, with_options
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json
from streamgauge.jobs.files.sources import local
from streamgauge.jobs.kafka.topics import send_control
from streamgauge.jobs.settings.loading import load
from streamgauge.jobs.studies import weigh as weighing
from streamgauge.jobs.studies.benchmark import cell
from streamgauge.udfs.control.messages import Weights

app = command_line()


@app.command(epilog="Example: `streamgauge weigh cards.csv --entity-column card --label-column fraud --send`")
@with_options
def weigh(
    files: Streams,
    columns: LabelledColumns,
    settings: SettingsFile = None,
    send: Annotated[bool, typer.Option(help="Send these weights to running jobs, over the control topic.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure how well each member of the ensemble detects on your files, and propose weights.

    With labels, the weight follows from the anomalies that the member finds. Without, it follows from how well the member agrees with the
    others. ROC AUC and PR AUC of a member are those of the rows for which it has an opinion, as in `streamgauge evaluate`.
    """
    with clear_errors(), local(files) as copies:
        loaded = load(settings)
        results = backtested(copies, loaded, columns.columns())
        weights = weighing.weigh(results)
        if send:
            by_member = {one["member"]: one["weight"] for one in weights}
            send_control(loaded.kafka, Weights(type="weights", weights=by_member))
            console.print(f"sent to the jobs on the topic {loaded.kafka.topics.control}")
    if as_json:
        print_json(weights)
    else:
        table = Table(*(name.replace("_", " ") for name in weights[0]))
        for one in weights:
            table.add_row(*map(cell, one.values()))
        console.print(table)
    report = not_read(results)
    tell_of_files(report)
    columns.end(report)
