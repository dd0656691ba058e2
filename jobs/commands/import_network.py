"""The command that imports a network that was made elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from streamgauge.jobs.commands.columns import tell_of_files
from streamgauge.jobs.commands.history import Data, reading
from streamgauge.jobs.commands.options import AsJson, Registry, SettingsFile, with_options
from streamgauge.jobs.commands.terminal import clear_errors, console, print_json
from streamgauge.jobs.commands.version_table import described
from streamgauge.jobs.files.not_read import NotRead
from streamgauge.jobs.settings.loading import load
from streamgauge.jobs.studies import import_network as importing
from streamgauge.jobs.studies.train import registry_of
from streamgauge.models.detectors.network.imported_network import ImportedNetwork
from streamgauge.models.errors import InputError

EXAMPLE = (
    "Example: `streamgauge models import pumps pumps.onnx history.csv --features pressure,flow --entity-column pump`"
)
Name = Annotated[str, typer.Argument(help="The model's name.")]


@dataclass(frozen=True)
class Use:
    """How the network is used."""

    features: Annotated[
        str, typer.Option(help="Fields that the network takes, in its order, with commas between them.")
    ]
    output: Annotated[
        str | None, typer.Option(help="Output to use; needed if none has a name that converters give.")
    ] = None
    column: Annotated[
        int | None, typer.Option(min=0, help="Column of the output that is the score, such as 1 of two probabilities.")
    ] = None
    reads: Annotated[
        str | None,
        typer.Option(help="score or reconstruction; by default, an output as wide as the input is a reconstruction."),
    ] = None
    low_is_anomalous: Annotated[
        bool, typer.Option("--low-is-anomalous", help="Small scores are the anomalous ones, as in scikit-learn.")
    ] = False
    registry: Registry = None
    sign_key: Annotated[Path | None, typer.Option(help="Ed25519 private key (PEM) to sign with.")] = None

    def detector(self) -> ImportedNetwork:
        """The detector, without a network yet."""
        if self.reads not in (None, "score", "reconstruction"):
            raise InputError(f"--reads {self.reads!r} is not allowed; allowed: score, reconstruction")
        return ImportedNetwork(self.output, self.column, self.reads, self.low_is_anomalous)  # type: ignore[arg-type]


@with_options
def import_network(
    data: Data,
    use: Use,
    name: Name,
    network: Annotated[Path, typer.Argument(help="ONNX file with one input, float[events, fields].")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="History: CSV, JSONL or Parquet; without files, the events topic is used."),
    ] = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Import a network from TensorFlow, PyTorch, scikit-learn, XGBoost or others, and publish it as the `candidate`.

    It is checked, run on the history, calibrated and judged on the last quarter of it. It alerts no earlier than you promote it: to
    `shadow` first, where its scores are compared with those of the live version, then to `live`.
    """
    report = NotRead()
    with clear_errors():
        data.check(files)
        loaded = load(settings)
        store = registry_of(loaded, use.registry, use.sign_key)
        try:
            content = network.read_bytes()
        except OSError as error:
            raise InputError(f"{network} cannot be read: {error.strerror}") from error
        with reading() as bar:
            past = importing.with_features(
                data.read(loaded, files, bar, report), [one.strip() for one in use.features.split(",")]
            )
            manifest = importing.import_network(store, name, content, use.detector(), past, bar.trained)
            bar.trained("published", 1.0)
    if as_json:
        print_json(manifest.model_dump(mode="json"))
    else:
        console.print(described(manifest))
        console.print(
            f"{name} version {manifest.version} is candidate; next: `streamgauge models promote {name} --to shadow`",
            soft_wrap=True,
            highlight=False,
        )
    tell_of_files(report)
    data.end(report)
