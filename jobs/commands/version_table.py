"""A version of a model as a table."""

from __future__ import annotations

from rich.table import Table
from streamgauge.models.persistence.manifest import Manifest


def described(manifest: Manifest) -> Table:
    """A version as a table: data, features, figures, variants."""
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
            f"{len(manifest.curve)}, validation loss {manifest.curve[-1]['held_back']:.4f}" if manifest.curve else "-",
        ),
        ("signed", "yes" if manifest.signature else "no"),
    ):
        table.add_row(what, str(value))
    for variant, made in manifest.variants.items():
        figures = ", ".join(f"{k.replace('_', ' ')} {v:.3g}" for k, v in made.figures.items() if v is not None)
        table.add_row(f"variant {variant}", f"{made.size} bytes, {figures}")
    return table
