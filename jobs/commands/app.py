"""The command line: all commands, and the file of each. A file is imported only when one of its commands is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from streamgauge.jobs.cluster.home import default_home
from streamgauge.jobs.cluster.kernels import use_compiled
from streamgauge.jobs.commands.terminal import clear_errors
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

FILES = {
    "local_cluster": {
        "up": "Start a local Kafka and Flink, or the processes of them that do not run, and wait until they answer.",
        "down": "Stop the processes that `up` started, and no others.",
        "status": "Show the processes and jobs of the local cluster; exit code 1 if it does not run.",
    },
    "installation": {
        "warm": "Compile all kernels now, so that no job has to wait for them (about a minute, once for each version).",
        "where": "Show where files are: the local cluster's state, the demo's series, a commented settings file, exact versions.",
    },
    "demo": {"demo": "Send real series through a local Kafka and Flink, and show what is found."},
    "init": {
        "init": "Look at the newest records of a topic, and write a settings file for it with a reason for each key."
    },
    "preview": {
        "preview": "Score the past of a topic with the job's own pipeline, without Flink; write a page about what would have been told."
    },
    "doctor": {
        "doctor": "Check Java, packages, ports, memory, topics, and that producers key by entity; exit code 1 on a failure."
    },
    "job": {
        "submit": "Submit the job. What follows `--` goes to `flink run`.",
        "stop": "Stop the job with a savepoint: nothing is lost, and a new job can start from it.",
    },
    "replay": {
        "replay": "Send files to the events topic, all at the same time; without --rate or --speed-up as fast as possible."
    },
    "alerts": {
        "alerts": "Follow the alert topic.",
        "feedback": "Say whether an alert was right, take that back, or list what people said.",
    },
    "explain": {
        "explain": "Score an alert again from Kafka: whether it is the same, which fields contributed, and which values give no alert."
    },
    "entity": {"entity": "Look at one entity in the running job, or change what it learned."},
    "trial": {"trial": "Try two thresholds on live traffic, each on its share of the entities."},
    "report": {
        "report": "Write a page about a period: alerts, precision, recall, calibration, latency, models, and what feedback changed."
    },
    "backtest": {
        "backtest": "Run the job's pipeline on files in row order, without Flink, on all cores; write a page about what it found."
    },
    "evaluate": {
        "evaluate": "Score labelled files and write one page with all figures, intervals, thresholds and plots."
    },
    "weigh": {"weigh": "Measure how well each member of the ensemble detects on your files, and propose weights."},
    "benchmark": {
        "benchmark": "Measure how well the pipeline detects on a public benchmark: one configuration, row by row, without labels."
    },
    "train": {
        "train": "Train a model on files or on Kafka, judge it on validation data, and publish it as the `candidate`; or `--watch`."
    },
    "models": {"models": "Manage the trained models in the registry."},
    "serve": {
        "serve": "Keep the history of alerts, and answer over HTTP: a page, and an API. Ctrl-C ends it.",
        "token": "Create, revoke and list the tokens that let people and programs use the service.",
    },
}


class Unloaded(TyperCommand):
    """A command with its name and one line of help. Its file is imported when the command is used."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Import the command, and return its context."""
        return imported(str(self.name)).make_context(info_name, args, parent, **extra)


class Commands(TyperGroup):
    """All commands by name. So `streamgauge status` starts without importing numpy and the detectors."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for commands in FILES.values():
            for name, line in commands.items():
                self.add_command(Unloaded(name, help=line))

    def invoke(self, context: Any) -> Any:
        """Do what the command line says. What is wrong with it is told with the value and with what is allowed."""
        try:
            return super().invoke(context)
        except typer.BadParameter as error:
            error.message = _whole(error)
            raise


def _whole(error: typer.BadParameter) -> str:
    """What is wrong with a value. Typer's own message, from an error of pydantic, leaves out the value and one of two limits."""
    errors = getattr(error.__cause__, "errors", None)
    if errors is None:
        return error.message
    least, most = (getattr(error.param, limit, None) for limit in ("min", "max"))
    allowed, shown = error.message.removeprefix("Value error, "), repr(errors()[0]["input"])
    if least is not None:
        allowed = f"allowed is at least {least}" if most is None else f"allowed is {least} to {most}"
    return allowed if shown in allowed else f"{allowed} (is {shown})"


def imported(name: str) -> Any:
    """Import a command from its file."""
    file = next(file for file, commands in FILES.items() if name in commands)
    return get_group(import_module(f"streamgauge.jobs.commands.{file}").app).commands[name]


app = typer.Typer(
    cls=Commands,
    name="streamgauge",
    epilog="Exit codes: 0 fine, 1 something failed, 2 wrong settings or arguments.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.callback()
def main() -> None:
    """Anomaly detection on Kafka streams, as an Apache Flink job."""
    with clear_errors():
        use_compiled(default_home())  # before a command imports numba
