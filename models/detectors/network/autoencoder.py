"""Autoencoder: what a narrow network cannot reproduce of an event."""

from __future__ import annotations

from typing import Any, ClassVar

from streamgauge.models.detectors.network.network_detector import EventNetwork, layers
from streamgauge.models.lazy_modules import load_module


class Autoencoder(EventNetwork):
    """A network with a narrow middle, trained to give back what it is given.

    Parameters are those of `EventNetwork`.

    Notes
    -----
    Hawkins, He, Williams and Baxter, Outlier detection using replicator neural networks, DaWaK 2002.
    """

    name: ClassVar[str] = "autoencoder"

    @staticmethod
    def parameters(width: int, hidden: int, steps: int) -> int:  # noqa: D102
        outer, inner = layers(width)
        return 2 * (width * outer + outer * inner + inner * hidden) + 2 * (outer + inner) + hidden + width

    def new_module(self, width: int) -> Any:  # noqa: D102
        return load_module("detectors.network.torch_networks").AutoencoderNetwork(width, self.size(width))
