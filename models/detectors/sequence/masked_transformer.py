"""Transformer with masked self-supervised training: how far an event is from what follows from those before it."""

from __future__ import annotations

from typing import Any, ClassVar

from streamgauge.models.detectors.network.network_detector import RunNetwork
from streamgauge.models.lazy_modules import load_module

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

    def new_module(self, width: int) -> Any:  # noqa: D102
        return load_module("detectors.sequence.torch_networks").TransformerNetwork(
            width, self.size(width), self.steps, HEADS
        )
