"""The commands about trained models: train one, look at them, promote, roll back, verify, collect garbage."""

from __future__ import annotations

import getpass
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from streamgauge.jobs.commands.shared import AsJson, SettingsFile, clear_errors, console, need_files, print_json
from streamgauge.models.errors import InputError

models_app = typer.Typer(help="Trained models in the registry.", no_args_is_help=True, rich_markup_mode="markdown")
RegistryUrl = Annotated[
    str | None, typer.Option("--registry", help="Folder or URL (s3://...); models.registry of the settings by default.")
]
Name = Annotated[str, typer.Argument(help="The model's name.")]
Version = Annotated[str, typer.Argument(help="Number, or alias (candidate, live, shadow, ...).")]
Why = Annotated[str, typer.Option(help="Written down with the change.")]


def train(
    name: Annotated[str | None, typer.Argument(help="The model's name.")] = None,
    detector: Annotated[str | None, typer.Argument(help="isolation_forest, autoencoder, temporal_cnn, ...")] = None,
    files: Annotated[
        list[Path] | None, typer.Argument(help="CSV, JSONL or Parquet; the events topic if there is none.")
    ] = None,
    settings: SettingsFile = None,
    registry: RegistryUrl = None,
    entity_column: Annotated[str | None, typer.Option(help="Column with the entity.")] = None,
    time_column: Annotated[str | None, typer.Option(help="Column with the event time.")] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column above 0 for anomalies: judged by, never learned.")
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Column that is no feature; repeatable.")] = None,
    offsets: Annotated[list[str] | None, typer.Option(help="From the topic: PARTITION:FROM-TO; repeatable.")] = None,
    last: Annotated[int | None, typer.Option(min=100, help="From the topic: so many newest events.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Argument of the detector: hidden=8; repeatable.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Of the data; written down.")] = "not stated",
    sign_key: Annotated[Path | None, typer.Option(help="Ed25519 private key (PEM) to sign with.")] = None,
    promote: Annotated[bool, typer.Option(help="Let it be live at once.")] = False,
    watch: Annotated[
        bool, typer.Option(help="Answer the job's requests to retrain, and move versions to live or back.")
    ] = False,
    once: Annotated[bool, typer.Option(help="With --watch: end when there is nothing to do.")] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="With --watch: where Prometheus finds /metrics; 0 is a free port."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a model on files or on Kafka, judge it on held-back data, and publish it as the `candidate`; or `--watch`."""
    from streamgauge.jobs.settings.loading import load  # noqa: PLC0415
    from streamgauge.jobs.studies import train as training  # noqa: PLC0415

    with clear_errors():
        if watch and (name or last or offsets):
            raise InputError("--watch takes what the job asks for: name no model, files or offsets with it")
        if once and not watch:
            raise InputError("--once goes with --watch")
        if metrics_port is not None and not watch:
            raise InputError("--metrics-port goes with --watch")
        if watch:
            _watch(load(settings), registry, once, metrics_port)
            return
        if name is None or detector is None:
            raise InputError("name the model and the detector: `streamgauge train pumps autoencoder`, or use --watch")
        if files and (offsets or last):
            raise InputError("--offsets and --last read from Kafka: name files, or these")
        if offsets and last:
            raise InputError("--offsets and --last exclude each other")
        loaded = load(settings)
        store = training.registry_of(loaded, registry)
        columns = (
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rows]}"),
            TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("reading", total=None, rows="")
            count = 0

            def read(rows: int) -> None:
                nonlocal count
                count += rows
                bar.update(task, rows=f"{count} rows")

            if files:
                need_files(files)
                past = training.past_of_files(
                    files, entity_column=entity_column, time_column=time_column, label_column=label_column,
                    drop=tuple(drop or ()), licence=licence, on_rows=read,
                )  # fmt: skip
            else:
                past = training.past_of_topic(loaded, training.parsed_offsets(offsets) if offsets else None, last, read)
            manifest = training.train(
                store, name, detector, past, training.parsed_settings(set_ or []), sign_key,
                lambda what, done: bar.update(task, description=what, total=1.0, completed=done),
            )  # fmt: skip
            bar.update(task, description="published", total=1.0, completed=1.0)
        if promote:
            _promote(store, loaded, name, manifest.version, "live", "trained with --promote")
    if as_json:
        print_json(manifest.model_dump(mode="json"))
        return
    console.print(_described(manifest))
    told = "live" if promote else f"candidate; `streamgauge models promote {name} candidate` lets it be live"
    console.print(f"{name} version {manifest.version} is {told}")


@models_app.command("list", epilog="Example: `streamgauge models list --registry models`")
def list_models(settings: SettingsFile = None, registry: RegistryUrl = None, as_json: AsJson = False) -> None:
    """All models: versions, aliases, what they are."""
    with clear_errors():
        store = _store(settings, registry)[0]
        found = []
        for name in store.names():
            versions = store.versions(name)
            if versions:
                newest = store.manifest(name, versions[-1])
                found.append(
                    {
                        "model": name, "versions": versions, "aliases": store.aliases(name), "detector": newest.detector,
                        "features": newest.features, "created": newest.created,
                    }
                )  # fmt: skip
    if as_json:
        print_json(found)
        return
    table = Table("model", "detector", "versions", "aliases", "features", "newest")
    for one in found:
        aliases = ", ".join(f"{alias} {version}" for alias, version in one["aliases"].items())
        shown = f"{one['versions'][0]} to {one['versions'][-1]}"
        table.add_row(one["model"], one["detector"], shown, aliases, str(len(one["features"])), one["created"])
    console.print(table if found else f"there are no models in {store.url}")


@models_app.command(epilog="Example: `streamgauge models show pumps live`")
def show(
    name: Name,
    version: Version = "live",
    settings: SettingsFile = None,
    registry: RegistryUrl = None,
    curve: Annotated[Path | None, typer.Option(help="PNG to draw the losses of its training to.")] = None,
    as_json: AsJson = False,
) -> None:
    """One version: data, features, figures, variants, and what its aliases stood for."""
    with clear_errors():
        store = _store(settings, registry)[0]
        manifest = store.manifest(name, store.resolve(name, version))
        history = {alias: store.history(name, alias) for alias in store.aliases(name)}
        if curve is not None:
            _draw_curve(manifest, curve)
    if as_json:
        print_json({"manifest": manifest.model_dump(mode="json"), "aliases": history})
        return
    console.print(_described(manifest))
    for alias, entries in history.items():
        for one in entries[:5]:
            console.print(f"{alias}: version {one['version']} since {one['at']} by {one['by'] or '?'} ({one['why']})")


@models_app.command(epilog="Example: `streamgauge models promote pumps candidate --why 'fewer false alarms'`")
def promote(
    name: Name,
    version: Version = "candidate",
    to: Annotated[str, typer.Option(help="Alias: live, shadow, or any other.")] = "live",
    why: Why = "",
    settings: SettingsFile = None,
    registry: RegistryUrl = None,
) -> None:
    """Let an alias stand for a version; running jobs take up live and shadow between two batches."""
    with clear_errors():
        store, loaded = _store(settings, registry)
        _promote(store, loaded, name, store.resolve(name, version), to, why)


@models_app.command(epilog="Example: `streamgauge models rollback pumps --why 'alerts doubled'`")
def rollback(
    name: Name,
    alias: Annotated[str, typer.Option(help="Which alias.")] = "live",
    why: Why = "rollback",
    settings: SettingsFile = None,
    registry: RegistryUrl = None,
) -> None:
    """Let an alias stand for the version that it stood for before; running jobs follow."""
    with clear_errors():
        store, loaded = _store(settings, registry)
        version = store.rollback(name, alias, getpass.getuser(), why)
        console.print(f"{name}: {alias} is version {version} again")
        _tell_jobs(loaded, name, version, alias)


@models_app.command(epilog="Example: `streamgauge models freeze pumps --why 'audit until Friday'`")
def freeze(
    name: Name,
    thaw: Annotated[bool, typer.Option("--thaw", help="Let the loop go on.")] = False,
    why: Why = "",
    settings: SettingsFile = None,
    registry: RegistryUrl = None,
) -> None:
    """Keep `train --watch` from changing anything about a model: no training, no promotion, no rollback; a canary stays as it is."""
    with clear_errors():
        store = _store(settings, registry)[0]
        live = store.resolve(name, "live")
        if thaw:
            store.drop(name, "frozen")
            console.print(f"{name}: the loop goes on")
        else:
            store.point(name, "frozen", live, getpass.getuser(), why)
            console.print(
                f"{name}: version {live} stays live; `streamgauge models freeze {name} --thaw` lets the loop go on"
            )


@models_app.command(epilog="Example: `streamgauge models verify pumps`")
def verify(
    name: Annotated[str | None, typer.Argument(help="All models unless given.")] = None,
    settings: SettingsFile = None,
    registry: RegistryUrl = None,
) -> None:
    """Load every version in every variant, checksums and signatures included; exit code 1 if one is wrong."""
    from streamgauge.models.errors import ModelError  # noqa: PLC0415

    wrong = 0
    with clear_errors():
        store = _store(settings, registry)[0]
        for one in [name] if name else store.names():
            if name and not store.versions(name):
                raise InputError(
                    f"there is no model {name!r} in {store.url}; models: {', '.join(store.names()) or 'none'}"
                )
            for version in store.versions(one):
                try:
                    store.verify(one, version)
                    console.print(f"[green]ok[/] {one} version {version}")
                except ModelError as error:
                    wrong += 1
                    console.print(f"[red]wrong[/] {error}", soft_wrap=True)
    if wrong:
        raise typer.Exit(1)


@models_app.command("gc", epilog="Example: `streamgauge models gc pumps --keep 3`")
def collect_garbage(
    name: Annotated[str | None, typer.Argument(help="All models unless given.")] = None,
    keep: Annotated[int, typer.Option(min=1, help="Newest versions that stay in any case.")] = 5,
    settings: SettingsFile = None,
    registry: RegistryUrl = None,
) -> None:
    """Delete versions that no alias needs, but for the newest, and files that no version names."""
    with clear_errors():
        store = _store(settings, registry)[0]
        deleted = [path for one in ([name] if name else store.names()) for path in store.collect_garbage(one, keep)]
    console.print("\n".join(f"deleted {path}" for path in deleted) or "nothing to delete")


def _draw_curve(manifest: Any, path: Path) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415

    if not manifest.curve:
        raise InputError(
            f"{manifest.name} version {manifest.version} is a {manifest.detector}: it has no epochs to draw"
        )
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for name, color in (("train", "#8b98a5"), ("held_back", "#1f6feb")):
        axes.plot([epoch[name] for epoch in manifest.curve], color=color, label=name.replace("_", " "))
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.set_title(f"{manifest.name} version {manifest.version}, {manifest.detector}", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    console.print(f"wrote {path}")


def _store(settings: Path | None, registry: str | None) -> tuple[Any, Any]:
    from streamgauge.jobs.settings.loading import load  # noqa: PLC0415
    from streamgauge.jobs.studies.train import registry_of  # noqa: PLC0415

    loaded = load(settings)
    return registry_of(loaded, registry), loaded


def _promote(store: Any, loaded: Any, name: str, version: int, alias: str, why: str) -> None:
    store.verify(name, version)
    store.point(name, alias, version, getpass.getuser(), why)
    console.print(f"{name}: {alias} is version {version}")
    _tell_jobs(loaded, name, version, alias)


def _tell_jobs(loaded: Any, name: str, version: int, alias: str) -> None:
    """Say so on the control topic, where the settings' jobs use the model in that role."""
    from streamgauge.jobs.kafka.topics import send_control  # noqa: PLC0415
    from streamgauge.udfs.control.messages import ModelVersion  # noqa: PLC0415

    use = loaded.models.use.get(name)
    if use is None or alias not in (use.alias, use.shadow):
        console.print("no job is told: the settings' models.use does not use it by that alias")
        return
    role = "live" if alias == use.alias else "shadow"
    send_control(loaded.kafka, ModelVersion(type="model", model=name, role=role, version=version))
    console.print(f"told the jobs on {loaded.kafka.topics.control}")


def _described(manifest: Any) -> Table:
    table = Table(show_header=False, title=f"{manifest.name} version {manifest.version}")
    data = manifest.history
    for what, value in (
        ("detector", f"{manifest.detector} {manifest.settings}"),
        ("chosen", manifest.chosen or "-"),
        ("features", ", ".join(manifest.features)),
        ("events judged together", manifest.steps),
        ("data", f"{data.source}, {data.rows} rows, licence {data.licence}"),
        ("memory", f"{manifest.memory / 1e6:.1f} MB"),
        ("parent", manifest.parent or "-"),
        (
            "epochs",
            f"{len(manifest.curve)}, held-back loss {manifest.curve[-1]['held_back']:.4f}" if manifest.curve else "-",
        ),
        ("signed", "yes" if manifest.signature else "no"),
    ):
        table.add_row(what, str(value))
    for variant, told in manifest.variants.items():
        figures = ", ".join(f"{k.replace('_', ' ')} {v:.3g}" for k, v in told.figures.items() if v is not None)
        table.add_row(f"variant {variant}", f"{told.size} bytes, {figures}")
    return table


def _watch(settings: Any, registry: str | None, once: bool, metrics_port: int | None) -> None:
    from streamgauge.jobs.retrain_models import Trainer  # noqa: PLC0415
    from streamgauge.jobs.retraining.metrics import serve  # noqa: PLC0415

    trainer = Trainer(settings, registry, lambda text: console.print(text, highlight=False, soft_wrap=True))
    with ExitStack() as stack:
        if metrics_port is not None:
            port = stack.enter_context(serve(trainer.metrics, metrics_port))
            console.print(f"metrics on http://localhost:{port}/metrics", highlight=False)
        console.print(f"following {settings.kafka.topics.retrain_requests}; interrupt to end", highlight=False)
        try:
            done = trainer.run(once)
        except KeyboardInterrupt:
            return
    console.print(f"{done} messages dealt with")
