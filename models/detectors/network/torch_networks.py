"""The torch modules of the networks that judge each event by itself, and their losses. Only training needs them."""

from __future__ import annotations

from typing import Any

import torch
from streamgauge.models.detectors.network.network_detector import layers
from torch import nn
from torch.nn.functional import smooth_l1_loss

BETA = 0.05  # weight of the code's divergence in the loss of a variational autoencoder


def huber(predicted: Any, target: Any) -> Any:
    """Huber's loss of each event, torch float32[n]: large residuals do not rule it."""
    return smooth_l1_loss(predicted, target, reduction="none").flatten(1).mean(dim=1)


class AutoencoderNetwork(nn.Sequential):  # type: ignore[misc]
    """See `Autoencoder`.

    Parameters
    ----------
    width : int
        Fields.
    hidden : int
        Numbers in the narrowest layer.
    """

    def __init__(self, width: int, hidden: int) -> None:
        outer, inner = layers(width)
        narrow = (nn.Linear(width, outer), nn.SiLU(), nn.Linear(outer, inner), nn.SiLU(), nn.Linear(inner, hidden))
        wide = (nn.Linear(hidden, inner), nn.SiLU(), nn.Linear(inner, outer), nn.SiLU(), nn.Linear(outer, width))
        super().__init__(*narrow, *wide)

    def losses(self, z: Any) -> Any:
        """Loss of each event of float32[n, d]."""
        return huber(self(z), z)


class VariationalNetwork(nn.Module):  # type: ignore[misc]
    """See `VariationalAutoencoder`; parameters are those of `AutoencoderNetwork`."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        outer, inner = layers(width)
        self.encoder = nn.Sequential(nn.Linear(width, outer), nn.SiLU(), nn.Linear(outer, inner), nn.SiLU())
        self.mean, self.spread = nn.Linear(inner, hidden), nn.Linear(inner, hidden)
        wide = (nn.Linear(hidden, inner), nn.SiLU(), nn.Linear(inner, outer), nn.SiLU())
        self.decoder = nn.Sequential(*wide, nn.Linear(outer, width))

    def forward(self, x: Any) -> Any:
        """Reproduced events, and mean and logarithm of the variance of their codes."""
        encoded = self.encoder(x)
        mean, spread = self.mean(encoded), self.spread(encoded).clamp(-8.0, 8.0)
        code = mean + torch.randn_like(mean) * (0.5 * spread).exp() if self.training else mean
        return self.decoder(code), mean, spread

    def losses(self, z: Any) -> Any:
        """Loss of each event of float32[n, d]: how badly it is reproduced, and how unusual its code is."""
        again, mean, spread = self(z)
        divergence = 0.5 * (mean**2 + spread.exp() - spread - 1.0).sum(dim=1)
        return huber(again, z) + BETA * divergence / z.shape[1]
