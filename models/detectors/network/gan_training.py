"""Training of a `GanNetwork`: generator, critic and encoder together. Only training needs it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.fitted.fitted_detector import Progress
from streamgauge.models.detectors.network.torch_training import BATCH, RATE, Best, smallest, split
from torch.nn.functional import relu, smooth_l1_loss
from torch.nn.utils.parametrize import remove_parametrizations

ADVERSARIAL = 0.05  # weight of deceiving the critic, against that of reproducing events
CODE = 0.01  # weight of keeping codes near those that events are made from


def train(module: Any, Z: Floats, trim: float, epochs: int, say: Progress) -> list[dict[str, float]]:
    """Train a `GanNetwork`, and leave it in its best state; parameters and return value are those of `torch_training.train`."""
    events = torch.as_tensor(Z, dtype=torch.float32)
    validation, learn = split(torch.randperm(len(events)))
    critic = [*module.features.parameters(), *module.critic.parameters()]
    makers = [*module.encoder.parameters(), *module.generator.parameters()]
    steps = [torch.optim.Adam(part, RATE, betas=(0.5, 0.99)) for part in (critic, makers)]
    curve: list[dict[str, float]] = []
    best = Best(module)
    for epoch in range(epochs):
        module.train()
        total = 0.0
        for rows in torch.split(learn[torch.randperm(len(learn))], BATCH):
            _step(steps[0], _critic_loss(module, events[rows]))
            reproduced = _reproduction_losses(module, events[rows])
            if trim and epoch:
                reproduced = smallest(reproduced, trim)
            deceived = module.critic(module.features(_made(module, len(rows)))).mean()
            _step(steps[1], reproduced.mean() - ADVERSARIAL * deceived)
            total += float(reproduced.detach().mean()) * len(rows)
        module.eval()
        with torch.no_grad():
            again = module.generator(module.encoder(events[validation]))
            each = smooth_l1_loss(again, events[validation], reduction="none").mean(dim=1)
            judged = float(smallest(each, trim).mean())
        curve.append({"train": total / len(learn), "held_back": judged})
        say("training", (epoch + 1) / epochs)
        if best.has_passed(judged):
            break
    best.restore()
    return curve


def finish(module: Any) -> None:
    """Make the spectral normalisation part of the weights: nothing is trained any more."""
    for layer in module.normed_layers():
        remove_parametrizations(layer, "weight")


def generator_arrays(module: Any) -> dict[str, Floats]:
    """Weights and biases of the generator's two layers, float64, as `Gan` keeps them."""
    first, last = module.generator[0], module.generator[2]
    numbers = {"w1": first.weight, "b1": first.bias, "w2": last.weight, "b2": last.bias}
    return {name: np.ascontiguousarray(part.detach().numpy(), dtype=np.float64) for name, part in numbers.items()}


def _made(module: Any, count: int) -> Any:
    """Events that the generator makes from random codes."""
    return module.generator(torch.randn(count, module.encoder[2].out_features))


def _critic_loss(module: Any, real: Any) -> Any:
    """Hinge loss of the critic: real events above 1, made ones below -1."""
    made = _made(module, len(real)).detach()
    return (
        relu(1.0 - module.critic(module.features(real))).mean()
        + relu(1.0 + module.critic(module.features(made))).mean()
    )


def _reproduction_losses(module: Any, real: Any) -> Any:
    """How badly each event is reproduced from its code, and how large the code is."""
    code = module.encoder(real)
    each = smooth_l1_loss(module.generator(code), real, reduction="none").mean(dim=1)
    return each + CODE * (code**2).mean(dim=1)


def _step(optimiser: Any, loss: Any) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
