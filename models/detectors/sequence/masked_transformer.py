"""Transformer with masked self-supervised training: how far an event is from what its past tells of it."""

from __future__ import annotations

from typing import Any, ClassVar

from streamgauge.models.detectors.network.network_detector import RunNetwork

MASKED = 0.3  # share of the events of a run that training hides, beside the last
HEADS = 2


class MaskedTransformer(RunNetwork):
    """Attention over an entity's last events fills in the events that were hidden from it.

    Training hides some events of each run at random, and the last; scoring hides the last one.

    Parameters are those of `RunNetwork`; `hidden` is 16 and two a field unless given, and made even.

    Notes
    -----
    Vaswani and others, Attention is all you need, NeurIPS 2017; masking as in Devlin and others, BERT, 2019, and for series in
    Zerveas and others, KDD 2021.
    """

    name: ClassVar[str] = "masked_transformer"

    def size(self, width: int) -> int:  # noqa: D102
        return -(-super().size(width) // HEADS) * HEADS

    def _size(self, width: int) -> int:
        return min(64, 16 + 2 * width)

    @staticmethod
    def parameters(width: int, hidden: int, steps: int) -> int:  # noqa: D102
        return hidden * (2 * width + 8 * hidden + 13 + steps) + width

    def _module(self, width: int) -> Any:
        import torch  # noqa: PLC0415
        from torch import nn  # noqa: PLC0415

        hidden, steps = self.size(width), self.steps

        class Network(nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.into, self.out = nn.Linear(width, hidden), nn.Linear(hidden, width)
                self.place = nn.Embedding(steps, hidden)
                self.unknown = nn.Embedding(1, hidden)
                self.layer = nn.TransformerEncoderLayer(
                    hidden, HEADS, 2 * hidden, dropout=0.0, batch_first=True, norm_first=True
                )
                self.register_buffer("last", torch.arange(steps) == steps - 1)

            def reconstruct(self, x: Any, hide: Any) -> Any:
                told = torch.where(hide.unsqueeze(-1), self.unknown.weight[0], self.into(x)) + self.place.weight
                return self.out(self.layer(told))

            def forward(self, x: Any) -> Any:
                return self.reconstruct(x, self.last.unsqueeze(0).expand(x.shape[0], -1))[:, -1]

        return Network()

    def _loss(self, module: Any, z: Any) -> Any:
        import torch  # noqa: PLC0415
        from torch.nn.functional import smooth_l1_loss  # noqa: PLC0415

        if not module.training:
            return super()._loss(module, z)
        hide = (torch.rand(z.shape[:2]) < MASKED) | module.last
        each = smooth_l1_loss(module.reconstruct(z, hide), z, reduction="none").mean(dim=2)
        return (each * hide).sum(dim=1) / hide.sum(dim=1)
