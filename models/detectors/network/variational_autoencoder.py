"""Variational autoencoder: how badly, and with how unusual a code, a network reproduces an event."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.network.network_detector import EventNetwork, layers
from streamgauge.models.lazy_modules import load_module


class VariationalAutoencoder(EventNetwork):
    """An autoencoder whose codes are normal distributions.

    The code's divergence from a standard normal distribution counts like the residual of a further field. Scoring takes the mean of the
    code, so that nothing is random.

    Parameters are those of `EventNetwork`.

    Notes
    -----
    Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014; for anomalies: An and Cho, Variational autoencoder based anomaly
    detection using reconstruction probability, 2015.
    """

    name: ClassVar[str] = "variational_autoencoder"

    @staticmethod
    def parameters(width: int, hidden: int, steps: int) -> int:  # noqa: D102
        outer, inner = layers(width)
        return 2 * (width * outer + outer * inner) + 3 * inner * hidden + 2 * (outer + inner) + 2 * hidden + width

    def new_module(self, width: int) -> Any:  # noqa: D102
        return load_module("detectors.network.torch_networks").VariationalNetwork(width, self.size(width))

    def _residuals(self, Z: Floats) -> Floats:
        again, mean, spread = self._run(Z)
        divergence = 0.5 * (mean**2 + np.exp(spread) - spread - 1.0).sum(axis=1, keepdims=True)
        return np.hstack((np.abs(Z - again), divergence))
