"""Generative adversarial network: how far an event is from the nearest one that a generator can make."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.fitted.fitted_detector import Progress
from streamgauge.models.detectors.network.network_detector import LEAST, USUAL, EventNetwork

ADVERSARIAL = 0.05  # weight of deceiving the critic, beside giving events back
CODE = 0.01  # weight of keeping codes near those that events are made from
DESCENT, RATE = 40, 0.1  # steps and their size when a code is improved


class Gan(EventNetwork):
    """A generator makes events from codes, a critic tells them from real ones, an encoder finds the code of an event.

    An event is given the encoder's code, made again, and compared: field by field, and by what the critic sees in both, which
    counts like a further field. For candidates, events beyond the 99 % quantile of the history, the code is then improved by
    steps down the gradient of the squared residual, so that an event which the encoder merely failed to place is cleared.

    Parameters are those of `EventNetwork`.

    Notes
    -----
    Schlegl and others, f-AnoGAN, Medical Image Analysis 54, 2019 (encoder, critic's features); AnoGAN, IPMI 2017 (search for the
    code). Hinge losses and spectral normalisation: Miyato and others, ICLR 2018. Unlike f-AnoGAN all three are trained together.
    """

    name: ClassVar[str] = "gan"

    @staticmethod
    def parameters(width: int, hidden: int, steps: int) -> int:  # noqa: D102
        outer = 2 * hidden + 8
        return outer * (width + hidden + 1) + hidden + outer * (hidden + width + 1) + width + outer * (width + 2) + 1

    def _module(self, width: int) -> Any:
        import torch  # noqa: PLC0415
        from torch import nn  # noqa: PLC0415

        hidden = self.size(width)
        outer = 2 * hidden + 8

        class Network(nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.encoder = nn.Sequential(nn.Linear(width, outer), nn.SiLU(), nn.Linear(outer, hidden))
                self.generator = nn.Sequential(nn.Linear(hidden, outer), nn.SiLU(), nn.Linear(outer, width))
                self.sees = nn.Sequential(nn.Linear(width, outer), nn.SiLU())
                self.critic = nn.Linear(outer, 1)

            def forward(self, x: Any) -> Any:
                code = self.encoder(x)
                again = self.generator(code)
                return again, self.sees(x) - self.sees(again), code

        module = Network()
        for layer in (module.sees[0], module.critic):
            torch.nn.utils.parametrizations.spectral_norm(layer)
        return module

    def _train(self, Z: Floats, say: Progress) -> None:
        from streamgauge.models.training import training  # noqa: PLC0415  needs torch
        from torch.nn.utils.parametrize import remove_parametrizations  # noqa: PLC0415

        with training.seeded(self.seed) as torch:
            module = self._module(Z.shape[1])
            self.curve = self._play(torch, module, torch.as_tensor(Z, dtype=torch.float32), say)
        for layer in (module.sees[0], module.critic):
            remove_parametrizations(layer, "weight")
        self._take(training.exported(module, Z[:8]), Z)
        first, last = module.generator[0], module.generator[2]
        for name, numbers in (("w1", first.weight), ("b1", first.bias), ("w2", last.weight), ("b2", last.bias)):
            self.arrays[name] = np.ascontiguousarray(numbers.detach().numpy(), dtype=np.float64)
        self.arrays["candidate"] = np.quantile(self._pooled(self._sizes(Z)), [USUAL])
        say("training", 1.0)

    def _play(self, torch: Any, module: Any, events: Any, say: Progress) -> list[dict[str, float]]:
        from streamgauge.models.training import training  # noqa: PLC0415
        from torch.nn.functional import relu, smooth_l1_loss  # noqa: PLC0415

        judge, learn = training.halves(torch.randperm(len(events)))
        critic = [*module.sees.parameters(), *module.critic.parameters()]
        makers = [*module.encoder.parameters(), *module.generator.parameters()]
        steps = [torch.optim.Adam(part, training.RATE, betas=(0.5, 0.99)) for part in (critic, makers)]
        size = module.encoder[2].out_features
        curve: list[dict[str, float]] = []
        best = training.Best(module)
        for epoch in range(self.epochs):
            module.train()
            total = 0.0
            for rows in torch.split(learn[torch.randperm(len(learn))], training.BATCH):
                real = events[rows]
                made = module.generator(torch.randn(len(rows), size))
                against = relu(1.0 - module.critic(module.sees(real))).mean()
                against = against + relu(1.0 + module.critic(module.sees(made.detach()))).mean()
                steps[0].zero_grad()
                against.backward()
                steps[0].step()
                code = module.encoder(real)
                each = smooth_l1_loss(module.generator(code), real, reduction="none").mean(dim=1)
                each = each + CODE * (code**2).mean(dim=1)
                if self.trim and epoch:
                    each = training.smallest(each, self.trim)
                made = module.generator(torch.randn(len(rows), size))
                loss = each.mean() - ADVERSARIAL * module.critic(module.sees(made)).mean()
                steps[1].zero_grad()
                loss.backward()
                steps[1].step()
                total += float(each.detach().mean()) * len(rows)
            module.eval()
            with torch.no_grad():
                again = module.generator(module.encoder(events[judge]))
                each = smooth_l1_loss(again, events[judge], reduction="none").mean(dim=1)
                held = float(training.smallest(each, self.trim).mean())
            curve.append({"train": total / len(learn), "held_back": held})
            say("training", (epoch + 1) / self.epochs)
            if best.has_passed(held):
                break
        best.restore()
        return curve

    def _residuals(self, Z: Floats) -> Floats:
        again, seen, _ = self._run(Z)
        return np.hstack((np.abs(Z - again), np.abs(seen).mean(axis=1, keepdims=True)))

    def _sizes(self, Z: Floats) -> Floats:
        """In units of the usual, with improved codes for candidates."""
        again, _, code = self._run(Z)
        sizes = super()._sizes(Z)
        if "candidate" not in self.arrays:  # while training
            return sizes
        chosen = np.flatnonzero(self._pooled(sizes) > self.arrays["candidate"][0])
        if len(chosen):
            better = again[chosen].copy()
            a = self.arrays
            _descend(Z[chosen], code[chosen], a["w1"], a["b1"], a["w2"], a["b2"], better)
            d = Z.shape[1]
            improved = np.abs(Z[chosen] - better) / (a["usual"][:d] + LEAST)
            sizes[chosen, :d] = np.minimum(sizes[chosen, :d], improved)
        return sizes


@njit(cache=True)
def _descend(Z, codes, w1, b1, w2, b2, made):  # type: ignore[no-untyped-def]
    """Improve each code by Adam's steps down the squared residual; `made` becomes the nearest event on the way."""
    hidden, width = len(b1), len(b2)
    inner, slope, out, back = np.empty(hidden), np.empty(hidden), np.empty(width), np.empty(hidden)
    size = codes.shape[1]
    for i in range(Z.shape[0]):
        code = codes[i].copy()
        first, second = np.zeros(size), np.zeros(size)
        nearest = 0.0
        for j in range(width):
            nearest += (Z[i, j] - made[i, j]) ** 2
        for step in range(DESCENT + 1):
            for h in range(hidden):
                total = b1[h]
                for k in range(size):
                    total += w1[h, k] * code[k]
                gate = 1.0 / (1.0 + math.exp(-total))
                inner[h], slope[h], back[h] = total * gate, gate * (1.0 + total * (1.0 - gate)), 0.0
            far = 0.0
            for j in range(width):
                out[j] = b2[j]
                for h in range(hidden):
                    out[j] += w2[j, h] * inner[h]
                far += (Z[i, j] - out[j]) ** 2
            if far < nearest:
                nearest = far
                made[i] = out
            if step == DESCENT:
                break
            for j in range(width):
                for h in range(hidden):
                    back[h] += 2.0 / width * (out[j] - Z[i, j]) * w2[j, h]
            for k in range(size):
                gradient = 0.0
                for h in range(hidden):
                    gradient += back[h] * slope[h] * w1[h, k]
                first[k] = 0.9 * first[k] + 0.1 * gradient
                second[k] = 0.999 * second[k] + 0.001 * gradient * gradient
                up, down = first[k] / (1.0 - 0.9 ** (step + 1)), second[k] / (1.0 - 0.999 ** (step + 1))
                code[k] -= RATE * up / (math.sqrt(down) + 1e-8)
