"""Variational autoencoder: how badly, and with how unusual a code, a network reproduces an event."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.network.network_detector import EventNetwork

BETA = 0.05  # weight of the code's divergence in the loss


class VariationalAutoencoder(EventNetwork):
    """An autoencoder whose codes are normal distributions.

    Beside the residuals, the code's divergence from a standard normal distribution counts like a further field. Scoring takes
    the mean of the code, so that it is no matter of chance.

    Parameters are those of `EventNetwork`.

    Notes
    -----
    Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014; for anomalies: An and Cho, Variational autoencoder based anomaly
    detection using reconstruction probability, 2015.
    """

    name: ClassVar[str] = "variational_autoencoder"

    @staticmethod
    def parameters(width: int, hidden: int, steps: int) -> int:  # noqa: D102
        outer = 2 * hidden + 4
        return 2 * width * outer + 3 * outer * hidden + 2 * outer + 2 * hidden + width

    def _module(self, width: int) -> Any:
        import torch  # noqa: PLC0415
        from torch import nn  # noqa: PLC0415

        hidden = self.size(width)
        outer = 2 * hidden + 4

        class Network(nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.encoder = nn.Sequential(nn.Linear(width, outer), nn.SiLU())
                self.mean, self.spread = nn.Linear(outer, hidden), nn.Linear(outer, hidden)
                self.decoder = nn.Sequential(nn.Linear(hidden, outer), nn.SiLU(), nn.Linear(outer, width))

            def forward(self, x: Any) -> Any:
                told = self.encoder(x)
                mean, spread = self.mean(told), self.spread(told).clamp(-8.0, 8.0)
                code = mean + torch.randn_like(mean) * (0.5 * spread).exp() if self.training else mean
                return self.decoder(code), mean, spread

        return Network()

    def _loss(self, module: Any, z: Any) -> Any:
        from torch.nn.functional import smooth_l1_loss  # noqa: PLC0415

        again, mean, spread = module(z)
        divergence = 0.5 * (mean**2 + spread.exp() - spread - 1.0).sum(dim=1)
        return smooth_l1_loss(again, z, reduction="none").mean(dim=1) + BETA * divergence / z.shape[1]

    def _residuals(self, Z: Floats) -> Floats:
        again, mean, spread = self._run(Z)
        divergence = 0.5 * (mean**2 + np.exp(spread) - spread - 1.0).sum(axis=1, keepdims=True)
        return np.hstack((np.abs(Z - again), divergence))
