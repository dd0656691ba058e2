"""The command that trains a model, or answers the job's requests to retrain."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from streamgauge.jobs.commands.columns import tell_of_files
from streamgauge.jobs.commands.history import Data, reading
from streamgauge.jobs.commands.models import promote_to
from streamgauge.jobs.commands.options import AsJson, Registry, SettingsFile, with_options
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json, tell
from streamgauge.jobs.commands.version_table import described
from streamgauge.jobs.files.not_read import NotRead
from streamgauge.jobs.retrain_models import Trainer
from streamgauge.jobs.retraining.metrics import serve
from streamgauge.jobs.settings.loading import Settings, load
from streamgauge.jobs.studies import train as training
from streamgauge.models.errors import InputError
from streamgauge.models.persistence.manifest import Manifest

app = command_line()


@dataclass(frozen=True)
class Publication:
    """How the model is made, and where it is published."""

    registry: Registry = None
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Argument of the detector, such as hidden=8; repeatable.")
    ] = None
    sign_key: Annotated[
        Path | None, typer.Option(help="Ed25519 private key (PEM) to sign versions and aliases with.")
    ] = None
    promote: Annotated[bool, typer.Option(help="Make the new version live at once.")] = False


@dataclass(frozen=True)
class Loop:
    """Options for answering requests, instead of training once."""

    watch: Annotated[
        bool, typer.Option(help="Answer the job's requests to retrain, and change which version is live.")
    ] = False
    once: Annotated[bool, typer.Option(help="With --watch: end as soon as there is nothing to do.")] = False
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="With --watch: port on which Prometheus finds /metrics; 0 chooses a free one."
        ),
    ] = None


@app.command(epilog="Example: `streamgauge train pumps autoencoder history.csv --entity-column pump --registry models`")
@with_options
def train(
    data: Data,
    publication: Publication,
    loop: Loop,
    name: Annotated[str | None, typer.Argument(help="The model's name.")] = None,
    detector: Annotated[str | None, typer.Argument(help="isolation_forest, autoencoder, temporal_cnn, ...")] = None,
    files: Annotated[
        list[Path] | None, typer.Argument(help="CSV, JSONL or Parquet; without files, the events topic is used.")
    ] = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Train a model on files or on Kafka, judge it on validation data, and publish it as the `candidate`; or `--watch`."""
    report = NotRead()
    with clear_errors():
        if loop.watch and (name or data != Data() or publication.set_ or publication.promote):
            raise InputError(
                "--watch takes what the job asks for: name no model, no data, and no --set or --promote with it"
            )
        if loop.once and not loop.watch:
            raise InputError("--once goes with --watch")
        if loop.metrics_port is not None and not loop.watch:
            raise InputError("--metrics-port goes with --watch")
        if loop.watch:
            done = _watch(load(settings), publication, loop)
            if done is not None:
                tell({"handled": done}, as_json, f"{done} messages handled")
            return
        if name is None or detector is None:
            raise InputError("name the model and the detector: `streamgauge train pumps autoencoder`, or use --watch")
        data.check(files)
        loaded = load(settings)
        store = training.registry_of(loaded, publication.registry, publication.sign_key)
        with reading() as bar:
            past = data.read(loaded, files, bar, report)
            arguments = training.parsed_settings(publication.set_ or [])
            manifest = training.train(store, name, detector, past, arguments, bar.trained, tell=bar.tell)
            bar.trained("published", 1.0)
        if publication.promote:
            promote_to(store, loaded, name, manifest.version, "live", "trained with --promote")
    if as_json:
        print_json(manifest.model_dump(mode="json"))
    else:
        _show(manifest, publication)
    tell_of_files(report)
    data.end(report)


def _show(manifest: Manifest, publication: Publication) -> None:
    console.print(described(manifest))
    name = manifest.name
    candidate = f"candidate; `streamgauge models promote {name} candidate` makes it live"
    console.print(f"{name} version {manifest.version} is {'live' if publication.promote else candidate}")


def _watch(settings: Settings, publication: Publication, loop: Loop) -> int | None:
    """Answer requests to retrain. Returns how many messages were handled; None if it was interrupted, or terminated."""
    store = training.registry_of(settings, publication.registry, publication.sign_key)
    trainer = Trainer(settings, store, lambda text: console.print(text, highlight=False, soft_wrap=True))
    with ExitStack() as stack:
        if loop.metrics_port is not None:
            port = stack.enter_context(serve(trainer.reports.metrics, loop.metrics_port))
            console.print(f"metrics on http://localhost:{port}/metrics", highlight=False)
        console.print(f"following {settings.kafka.topics.retrain_requests}; interrupt to end", highlight=False)
        stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, signal.default_int_handler))
        try:
            return trainer.run(loop.once)
        except KeyboardInterrupt:
            return None
