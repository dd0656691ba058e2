"""The commands about a trial of two thresholds on live traffic: start, show, end."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from rich.table import Table
from streamgauge.jobs.commands.options import AsJson, SettingsFile
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json, tell
from streamgauge.jobs.settings.loading import load
from streamgauge.jobs.studies import trial

app = command_line()
trial_app = command_line(
    no_args_is_help=True, help="Try two thresholds on live traffic, each on its share of the entities."
)
app.add_typer(trial_app, name="trial")


@trial_app.command(epilog="Example: `streamgauge trial start 1e-4 1e-5`")
def start(
    a: Annotated[float, typer.Argument(help="Tail probability for the first part of the entities.")],
    b: Annotated[float, typer.Argument(help="Tail probability for the second part.")],
    share: Annotated[float, typer.Option(help="Share of the entities that get b, 0 to 1.")] = 0.5,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Start a trial. Running jobs apply it between two batches."""
    with clear_errors():
        started = trial.start(load(settings).kafka, a, b, share)
    words = f"a is {a:g}, b is {b:g} for {share:.0%} of the entities; `streamgauge trial show` shows the results so far"
    tell(started.model_dump(mode="json"), as_json, words)


@trial_app.command(epilog="Example: `streamgauge trial show --json`")
def show(settings: SettingsFile = None, as_json: AsJson = False) -> None:
    """Show the results so far: alerts of each threshold, how many people found true, and which threshold is better."""
    with clear_errors():
        found = trial.standing(load(settings))
    if as_json:
        print_json(trial.figures_of(found))
        return
    table = Table("", "threshold", "alerts", "judged", "true", "precision")
    for name, arm in found.arms.items():
        precision = f"{arm.right / arm.judged:.2f}" if arm.judged else "-"
        table.add_row(name, f"{arm.threshold:g}", str(arm.alerts), str(arm.judged), str(arm.right), precision)
    console.print(table)
    console.print(trial.sentence(found), highlight=False, soft_wrap=True)


@trial_app.command(epilog="Example: `streamgauge trial end --keep b`")
def end(
    keep: Annotated[Literal["a", "b"] | None, typer.Option(help="The threshold to keep for all entities.")] = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """End the trial. Without --keep, the threshold from before the trial is used again."""
    with clear_errors():
        kept = trial.end(load(settings).kafka, keep)
    words = "the trial is over" + ("" if kept is None else f"; the threshold is {kept:g} for all entities")
    tell({"threshold": kept}, as_json, words)
