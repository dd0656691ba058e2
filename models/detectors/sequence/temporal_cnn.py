"""Temporal convolutions: how far an event is from a forecast from the events before it."""

from __future__ import annotations

from typing import Any, ClassVar

from streamgauge.models.detectors.network.network_detector import RunNetwork
from streamgauge.models.lazy_modules import load_module


class TemporalCnn(RunNetwork):
    """Two layers of convolutions over an entity's last events, the second with gaps, forecast the next one.

    Parameters are those of `RunNetwork`.

    Notes
    -----
    Munir, Siddiqui, Dengel and Ahmed, DeepAnT: a deep learning approach for unsupervised anomaly detection in time series, 2019; gaps
    as in Bai, Kolter and Koltun, 2018.
    """

    name: ClassVar[str] = "temporal_cnn"

    @staticmethod
    def parameters(width: int, hidden: int, steps: int) -> int:  # noqa: D102
        return hidden * (3 * width + 1) + hidden * (3 * hidden + 1) + width * (hidden * max(1, steps - 7) + 1)

    def new_module(self, width: int) -> Any:  # noqa: D102
        return load_module("detectors.sequence.torch_networks").ConvolutionNetwork(width, self.size(width), self.steps)
