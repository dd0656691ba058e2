"""The torch modules of the networks that judge an event by those of its entity before, and their losses. Only training needs them."""

from __future__ import annotations

from typing import Any

import torch
from streamgauge.models.detectors.network.torch_networks import huber
from torch import nn
from torch.nn.functional import pad, smooth_l1_loss

MASKED = 0.3  # share of the events of a run that training hides, besides the last


class ConvolutionNetwork(nn.Module):  # type: ignore[misc]
    """See `TemporalCnn`.

    Parameters
    ----------
    width : int
        Fields.
    hidden : int
        Size of the layers.
    steps : int
        Events in a run.
    """

    def __init__(self, width: int, hidden: int, steps: int) -> None:
        super().__init__()
        self.left = max(0, 8 - steps)  # padding, so that the layers' reach of 7 events fits
        self.first, self.second = nn.Conv1d(width, hidden, 3), nn.Conv1d(hidden, hidden, 3, dilation=2)
        self.out = nn.Linear(hidden * (steps - 1 + self.left - 6), width)
        self.act = nn.SiLU()

    def forward(self, x: Any) -> Any:
        """Forecast of the last event from those before, float32[n, d]."""
        before = pad(x[:, :-1].transpose(1, 2), (self.left, 0))
        return self.out(self.act(self.second(self.act(self.first(before)))).flatten(1))

    def losses(self, z: Any) -> Any:
        """Loss of the last event of each run of float32[n, steps, d]."""
        return huber(self(z), z[:, -1])


class TransformerNetwork(nn.Module):  # type: ignore[misc]
    """See `MaskedTransformer`; parameters are those of `ConvolutionNetwork`, and the number of heads of attention."""

    def __init__(self, width: int, hidden: int, steps: int, heads: int) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.place = nn.Embedding(steps, hidden)
        self.unknown = nn.Embedding(1, hidden)
        self.layer = nn.TransformerEncoderLayer(
            hidden, heads, 2 * hidden, dropout=0.0, batch_first=True, norm_first=True
        )
        self.register_buffer("last", torch.arange(steps) == steps - 1)

    def reconstruct(self, x: Any, hide: Any) -> Any:
        """The run with the events `hide`, bool[n, steps], filled in."""
        shown = torch.where(hide.unsqueeze(-1), self.unknown.weight[0], self.into(x)) + self.place.weight
        return self.out(self.layer(shown))

    def forward(self, x: Any) -> Any:
        """The last event as it follows from the others, float32[n, d]."""
        return self.reconstruct(x, self.last.unsqueeze(0).expand(x.shape[0], -1))[:, -1]

    def losses(self, z: Any) -> Any:
        """Loss of each run: of the hidden events in training, of the last one else."""
        if not self.training:
            return huber(self(z), z[:, -1])
        hide = (torch.rand(z.shape[:2]) < MASKED) | self.last
        each = smooth_l1_loss(self.reconstruct(z, hide), z, reduction="none").mean(dim=2)
        return (each * hide).sum(dim=1) / hide.sum(dim=1)
