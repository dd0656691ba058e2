"""Generative adversarial network: how far an event is from the nearest one that a generator can make."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.fitted.fitted_detector import Progress
from streamgauge.models.detectors.network.network_detector import CHUNK, LEAST, TRAINING, USUAL, EventNetwork
from streamgauge.models.lazy_modules import load_module

DESCENT, RATE = 40, 0.1  # steps and their size when a code is improved


class Gan(EventNetwork):
    """A generator makes events from codes, a critic separates them from real ones, an encoder finds the code of an event.

    The encoder finds the code of an event, the generator makes an event from it, and both events are compared: field by field, and by
    the critic's features, whose difference counts like a further field. For events beyond the 99 % quantile of the history, the code is
    then improved by steps down the gradient of the squared residual: the encoder may have found a poor code for a usual event.

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

    def new_module(self, width: int) -> Any:  # noqa: D102
        return load_module("detectors.network.torch_networks").GanNetwork(width, self.size(width))

    def _train(self, Z: Floats, say: Progress) -> None:
        torch_training, gan_training = load_module(TRAINING), load_module("detectors.network.gan_training")
        with torch_training.seeded(self.seed):
            module = self.new_module(Z.shape[1])
            self.curve = gan_training.train(module, Z, self.trim, self.epochs, say)
        gan_training.finish(module)
        self.use(torch_training.exported(module, Z[:8], CHUNK), self.normalisation, Z)
        self.arrays |= gan_training.generator_arrays(module)
        self.arrays["candidate"] = np.quantile(self._pooled(self._sizes(Z)), [USUAL])
        say("training", 1.0)

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
