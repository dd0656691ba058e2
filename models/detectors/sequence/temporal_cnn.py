"""Temporal convolutions: how far an event is from what a network forecast of the events before."""

from __future__ import annotations

from typing import Any, ClassVar

from streamgauge.models.detectors.network.network_detector import RunNetwork


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

    def _module(self, width: int) -> Any:
        from torch import nn  # noqa: PLC0415
        from torch.nn.functional import pad  # noqa: PLC0415

        hidden, steps = self.size(width), self.steps
        left = max(0, 8 - steps)  # so that the layers' reach of 7 events fits

        class Network(nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.first, self.second = nn.Conv1d(width, hidden, 3), nn.Conv1d(hidden, hidden, 3, dilation=2)
                self.out = nn.Linear(hidden * (steps - 1 + left - 6), width)
                self.act = nn.SiLU()

            def forward(self, x: Any) -> Any:
                before = pad(x[:, :-1].transpose(1, 2), (left, 0))
                return self.out(self.act(self.second(self.act(self.first(before)))).flatten(1))

        return Network()
