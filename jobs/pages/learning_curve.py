"""The plot of a training: the loss in each epoch."""

from __future__ import annotations

from pathlib import Path

from streamgauge.jobs.pages.html import axes_of
from streamgauge.models.errors import InputError
from streamgauge.models.persistence.manifest import Manifest

LOSSES = {"train": ("training data", "#8b98a5"), "held_back": ("validation data", "#1f6feb")}  # by name in the manifest


def draw(manifest: Manifest, path: Path) -> None:
    """Draw the losses on the training data and on the validation data, epoch by epoch.

    Parameters
    ----------
    manifest : Manifest
    path : Path
        PNG to write.

    Raises
    ------
    InputError
        The model was not trained in epochs.
    """
    if not manifest.curve:
        raise InputError(
            f"{manifest.name} version {manifest.version} is a {manifest.detector}: it has no epochs to draw"
        )
    title = f"{manifest.name} version {manifest.version}, {manifest.detector}"
    figure, axes = axes_of("epoch", "loss", title, (6.0, 3.5))
    for name, (label, colour) in LOSSES.items():
        axes.plot([epoch[name] for epoch in manifest.curve], color=colour, label=label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
