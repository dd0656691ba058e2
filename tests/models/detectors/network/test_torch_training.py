"""Training keeps the epoch that was best on events that were not learned from, and stops when none better comes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from streamgauge.models.detectors.network.torch_training import PATIENCE, exported, train


class Wandering(torch.nn.Module):
    """A module of one number, whose losses on validation data are given for each epoch."""

    def __init__(self, judged: list[float]) -> None:
        super().__init__()
        self.number = torch.nn.Parameter(torch.zeros(()))
        self.judged = judged
        self.epochs: list[float] = []  # the number at the end of each epoch

    def losses(self, events: torch.Tensor) -> torch.Tensor:
        """Losses of events: in training, the number wanders away; in validation, they are those that were given."""
        if self.training:
            return self.number.expand(len(events))
        self.epochs.append(self.number.item())
        return torch.full((len(events),), self.judged[len(self.epochs) - 1])


def trained(judged: list[float], epochs: int) -> Wandering:
    module = Wandering(judged)
    curve = train(module, np.zeros((40, 1)), 0, 0.0, epochs, lambda *_: None)
    assert [point["held_back"] for point in curve] == pytest.approx(judged[: len(curve)])
    return module


def test_a_module_is_left_as_it_was_at_its_best_epoch():
    module = trained([5.0, 3.0, 1.0, 2.0, 4.0, 6.0], 6)
    assert len(set(module.epochs)) == 6
    assert module.number.item() == module.epochs[2]
    assert not module.training


def test_training_stops_after_so_many_epochs_without_a_better_one():
    module = trained([2.0, 1.0] + [1.5] * 50, 50)
    assert len(module.epochs) == 2 + PATIENCE
    assert module.number.item() == module.epochs[1]


class Doubling(torch.nn.Module):
    """A module with a `forward` of its own: torch keeps where its lines stand."""

    def forward(self, events: torch.Tensor) -> torch.Tensor:
        """Twice the events."""
        return events * 2.0


def test_an_exported_network_says_nothing_about_the_machine_that_trained_it():
    network = exported(Doubling(), np.ones((3, 2)), 4)
    assert b".py" not in network
    assert b"site-packages" not in network
