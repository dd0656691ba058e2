"""LSTM autoencoder: what a recurrent network cannot reproduce of an entity's last events."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.network.network_detector import RunNetwork
from streamgauge.models.lazy_modules import load_module


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

    def new_module(self, width: int) -> Any:  # noqa: D102
        return load_module("detectors.sequence.torch_networks").LstmNetwork(width, self.size(width))

    def _residuals(self, Z: Floats) -> Floats:
        away: Floats = np.sqrt(((Z - self._run(Z)[0]) ** 2).mean(axis=1))
        return away

    def _expected(self, Z: Floats) -> Floats:
        return self._run(Z)[0][:, -1]
