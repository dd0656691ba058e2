"""The commands about trained models: list, show, promote, roll back, freeze, verify, collect garbage."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from streamgauge.jobs.commands.import_network import EXAMPLE, Name, import_network
from streamgauge.jobs.commands.options import AsJson, Registry, SettingsFile
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json, tell
from streamgauge.jobs.commands.version_table import described
from streamgauge.jobs.kafka.topics import send_control
from streamgauge.jobs.pages.learning_curve import draw
from streamgauge.jobs.retraining.roles import CANARY, SHADOW, role_messages
from streamgauge.jobs.settings.loading import Settings, load
from streamgauge.jobs.studies.train import registry_of
from streamgauge.models.errors import InputError, ModelError
from streamgauge.models.persistence import registry as registries
from streamgauge.udfs.settings.pipeline import ModelUse

app = command_line()
models_app = command_line(no_args_is_help=True, help="Manage the trained models in the registry.")
app.add_typer(models_app, name="models")
models_app.command("import", epilog=EXAMPLE)(import_network)
Version = Annotated[str, typer.Argument(help="Number of the version, or an alias (candidate, live, shadow, ...).")]
Why = Annotated[str, typer.Option(help="Reason; stored with the change.")]
SignKey = Annotated[
    Path | None, typer.Option(help="Ed25519 private key (PEM) to sign the alias with; needed with models.trusted_keys.")
]


@models_app.command("list", epilog="Example: `streamgauge models list --registry models`")
def list_models(settings: SettingsFile = None, registry: Registry = None, as_json: AsJson = False) -> None:
    """List all models: detector, versions, aliases, features."""
    with clear_errors():
        store = _store(settings, registry)[0]
        found: list[dict[str, Any]] = []
        for name in store.names():
            versions = store.versions(name)
            if versions:
                newest = store.manifest(name, versions[-1])
                found.append(
                    {
                        "model": name,
                        "versions": versions,
                        "aliases": store.aliases(name),
                        "detector": newest.detector,
                        "features": newest.features,
                        "created": newest.created,
                    }
                )
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
    registry: Registry = None,
    curve: Annotated[Path | None, typer.Option(help="PNG file to draw: the losses of the training.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show one version: data, features, figures, variants, and the history of the aliases."""
    with clear_errors():
        store = _store(settings, registry)[0]
        manifest = store.manifest(name, store.resolve(name, version))
        history = {alias: store.history(name, alias) for alias in store.aliases(name)}
        if curve is not None:
            draw(manifest, curve)
            console.print(f"wrote {curve}")
    if as_json:
        print_json({"manifest": manifest.model_dump(mode="json"), "aliases": history})
        return
    console.print(described(manifest))
    for alias, entries in history.items():
        for one in entries[:5]:
            console.print(f"{alias}: version {one['version']} since {one['at']} by {one['by'] or '?'} ({one['why']})")


@models_app.command(epilog="Example: `streamgauge models promote pumps candidate --why 'fewer false alarms'`")
def promote(
    name: Name,
    version: Version = "candidate",
    to: Annotated[str, typer.Option(help="The alias: live, shadow, or any other.")] = "live",
    why: Why = "",
    sign_key: SignKey = None,
    settings: SettingsFile = None,
    registry: Registry = None,
    as_json: AsJson = False,
) -> None:
    """Point an alias at a version. Running jobs change the live version and the shadow between two batches."""
    with clear_errors():
        store, loaded = _store(settings, registry, sign_key)
        number = store.resolve(name, version)
        informed = promote_to(store, loaded, name, number, to, why)
    if as_json:
        print_json({"model": name, "alias": to, "version": number, "jobs_informed": informed})


@models_app.command(epilog="Example: `streamgauge models rollback pumps --why 'alerts doubled'`")
def rollback(
    name: Name,
    alias: Annotated[str, typer.Option(help="The alias.")] = "live",
    why: Why = "rollback",
    sign_key: SignKey = None,
    settings: SettingsFile = None,
    registry: Registry = None,
    as_json: AsJson = False,
) -> None:
    """Point an alias at its previous version. Running jobs follow. The version that was live is no shadow afterwards."""
    with clear_errors():
        store, loaded = _store(settings, registry, sign_key)
        version = store.before(name, alias)
        informed = promote_to(store, loaded, name, version, alias, why)
    if as_json:
        print_json({"model": name, "alias": alias, "version": version, "jobs_informed": informed})


@models_app.command(epilog="Example: `streamgauge models freeze pumps --why 'audit until Friday'`")
def freeze(
    name: Name,
    thaw: Annotated[bool, typer.Option("--thaw", help="Let the trainer change the model again.")] = False,
    why: Why = "",
    sign_key: SignKey = None,
    settings: SettingsFile = None,
    registry: Registry = None,
    as_json: AsJson = False,
) -> None:
    """Keep `train --watch` from changing a model: no training, no promotion, no rollback. A canary stays a canary."""
    with clear_errors():
        store = _store(settings, registry, sign_key)[0]
        live = store.resolve(name, "live")
        if thaw:
            store.drop(name, "frozen")
            words = f"{name}: the trainer may change it again"
        else:
            store.point(name, "frozen", live, getpass.getuser(), why)
            words = f"{name}: version {live} stays live; `streamgauge models freeze {name} --thaw` ends that"
    tell({"model": name, "live": live, "frozen": not thaw}, as_json, words)


@models_app.command(epilog="Example: `streamgauge models verify pumps`")
def verify(
    name: Annotated[str | None, typer.Argument(help="The model's name; by default all models.")] = None,
    settings: SettingsFile = None,
    registry: Registry = None,
    as_json: AsJson = False,
) -> None:
    """Load every variant of every version, and check checksums and signatures; exit code 1 if one is wrong."""
    checked: list[dict[str, Any]] = []
    with clear_errors():
        store = _store(settings, registry)[0]
        for one in _names(store, name):
            for version in store.versions(one):
                wrong = None
                try:
                    store.verify(one, version)
                    console.print(Text.assemble(("ok", "green"), f" {one} version {version}"))
                except ModelError as error:
                    wrong = str(error)
                    console.print(Text.assemble(("wrong", "red"), f" {error}"), soft_wrap=True)
                checked.append({"model": one, "version": version, "wrong": wrong})
    if as_json:
        print_json(checked)
    if any(one["wrong"] for one in checked):
        raise typer.Exit(1)


@models_app.command("gc", epilog="Example: `streamgauge models gc pumps --keep 3`")
def collect_garbage(
    name: Annotated[str | None, typer.Argument(help="The model's name; by default all models.")] = None,
    keep: Annotated[int, typer.Option(min=1, help="Number of newest versions that are always kept.")] = 5,
    settings: SettingsFile = None,
    registry: Registry = None,
    as_json: AsJson = False,
) -> None:
    """Delete old versions that no alias needs, and files that belong to no version."""
    with clear_errors():
        store = _store(settings, registry)[0]
        deleted = [path for one in _names(store, name) for path in store.collect_garbage(one, keep)]
    tell({"deleted": deleted}, as_json, "\n".join(f"deleted {path}" for path in deleted) or "nothing to delete")


def _store(
    settings: Path | None, registry: str | None, sign_key: Path | None = None
) -> tuple[registries.Registry, Settings]:
    loaded = load(settings)
    return registry_of(loaded, registry, sign_key), loaded


def _names(store: registries.Registry, name: str | None) -> list[str]:
    """The model with a name, or all models without one."""
    there = store.names()
    if name is not None and not store.versions(name):
        raise InputError(f"there is no model {name!r} in {store.url}; models: {', '.join(there) or 'none'}")
    return there if name is None else [name]


def promote_to(store: registries.Registry, loaded: Settings, name: str, version: int, alias: str, why: str) -> bool:
    """Verify a version, make an alias stand for it, and tell the jobs; whether the settings name the model for them.

    If it is the alias of the live version, that of the shadow follows (`Registry.make_live`).
    """
    store.verify(name, version)
    use, who = loaded.models.use.get(name, ModelUse()), getpass.getuser()
    live, shadow = use.alias, use.shadow or SHADOW
    if alias == live:
        store.make_live(name, version, who, why, live, shadow)
    else:
        store.point(name, alias, version, who, why)
    console.print(f"{name}: {alias} is version {version}")
    if alias in (live, shadow):
        store.drop(name, CANARY)  # whatever was the canary counts for no entity by itself any more
    messages = role_messages(store, name, loaded.retrain.canary, live, shadow)
    for message in messages:
        if alias == live and message.role == SHADOW:
            shown = "there is no shadow" if message.version is None else f"{shadow} is version {message.version}"
            console.print(f"{name}: {shown}")
    if name not in loaded.models.use or alias not in (live, shadow):
        console.print("no job was informed: models.use of the settings does not name the model with this alias")
        return False
    for message in messages:
        send_control(loaded.kafka, message)
    console.print(f"sent to the jobs on the topic {loaded.kafka.topics.control}")
    return True
