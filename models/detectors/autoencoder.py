"""Autoencoder: what a narrow network cannot reproduce of an event."""

from __future__ import annotations

from typing import Any, ClassVar

from streamgauge.models.network_detector import NetworkDetector


class Autoencoder(NetworkDetector):
    """A network with a narrow middle, trained to give back what it is given.

    Parameters
    ----------
    hidden : int, optional
        Width of the middle; a third of the fields unless given, 64 at most.
    epochs : int
        At the most.
    trim : float
        Share of the history, the strangest, that is not learned from.
    seed : int
        Of all random choices.

    Notes
    -----
    Hawkins, He, Williams and Baxter, Outlier detection using replicator neural networks, DaWaK 2002.
    """

    name: ClassVar[str] = "autoencoder"

    def __init__(self, hidden: int | None = None, epochs: int = 60, trim: float = 0.02, seed: int = 42) -> None:
        super().__init__()
        self.hidden = hidden
        self.epochs = epochs
        self.trim = trim
        self.seed = seed

    def _size(self, width: int) -> int:
        return min(64, max(1, round(width / 3)))

    @staticmethod
    def parameters(width: int, hidden: int, steps: int) -> int:  # noqa: D102
        outer = 2 * hidden + 4
        return 2 * (width * outer + outer * hidden) + 2 * outer + hidden + width

    def _module(self, width: int) -> Any:
        from torch import nn  # noqa: PLC0415

        hidden = self.size(width)
        outer = 2 * hidden + 4
        return nn.Sequential(
            nn.Linear(width, outer), nn.SiLU(), nn.Linear(outer, hidden),
            nn.Linear(hidden, outer), nn.SiLU(), nn.Linear(outer, width),
        )  # fmt: skip
