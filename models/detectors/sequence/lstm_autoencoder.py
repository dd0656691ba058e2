"""LSTM autoencoder: what a recurrent network cannot reproduce of an entity's last events."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.network.network_detector import RunNetwork


class LstmAutoencoder(RunNetwork):
    """One recurrent network reads a run of events into a code, another writes the run again from it.

    A field's residual is the root mean square over the run: many small deviations add up to a collective anomaly.

    Parameters are those of `RunNetwork`.

    Notes
    -----
    Malhotra and others, LSTM-based encoder-decoder for multi-sensor anomaly detection, 2016.
    """

    name: ClassVar[str] = "lstm_autoencoder"

    @staticmethod
    def parameters(width: int, hidden: int, steps: int) -> int:  # noqa: D102
        return 4 * hidden * (width + hidden + 2) + 4 * hidden * (2 * hidden + 2) + width * (hidden + 1)

    def _module(self, width: int) -> Any:
        from torch import nn  # noqa: PLC0415

        hidden = self.size(width)

        class Network(nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.reader, self.writer = (
                    nn.LSTM(width, hidden, batch_first=True),
                    nn.LSTM(hidden, hidden, batch_first=True),
                )
                self.out = nn.Linear(hidden, width)

            def forward(self, x: Any) -> Any:
                _, (code, _) = self.reader(x)
                written, _ = self.writer(code[0].unsqueeze(1).expand(-1, x.shape[1], -1))
                return self.out(written)

        return Network()

    def _loss(self, module: Any, z: Any) -> Any:
        from torch.nn.functional import smooth_l1_loss  # noqa: PLC0415

        return smooth_l1_loss(module(z), z, reduction="none").flatten(1).mean(dim=1)

    def _residuals(self, Z: Floats) -> Floats:
        away: Floats = np.sqrt(((Z - self._run(Z)[0]) ** 2).mean(axis=1))
        return away

    def _expected(self, Z: Floats) -> Floats:
        return self._run(Z)[0][:, -1]
