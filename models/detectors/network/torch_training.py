"""Training of networks with torch, and what becomes of them: ONNX. Nothing here is needed to score."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.fitted.fitted_detector import Progress
from streamgauge.models.detectors.network.onnx_session import open_session

BATCH = 256
RATE = 2e-3  # of Adam, falling to a twentieth as a cosine
PATIENCE = 15  # epochs without a better loss of validation data, after which training ends
VALIDATION_SHARE = 0.15  # of the events, drawn at random
TOLERANCE = 1e-5  # by which ONNX Runtime's outputs may differ from torch's


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it, torch's random numbers begin at `seed`; afterwards they go on as if nothing had happened."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def train(module: Any, Z: Floats, seed: int, trim: float, epochs: int, say: Progress) -> list[dict[str, float]]:
    """Train a module, and leave it in its best state.

    Parameters
    ----------
    module : torch.nn.Module
        Its `losses` are those of each event of float32[m, ...].
    Z : float64[n, ...]
        Normalised events.
    seed : int
    trim : float
        Share of each batch, that with the largest losses, which is not learned from; from the second epoch on.
    epochs : int
    say : callable
        Is called with the progress.

    Returns
    -------
    list of dict
        For each epoch ``train`` and ``held_back``: mean losses, those of validation data without the largest share `trim`.
    """
    with seeded(seed):
        events = torch.as_tensor(Z, dtype=torch.float32)
        validation, learn = split(torch.randperm(len(events)))
        optimiser = torch.optim.Adam(module.parameters(), RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs, RATE / 20)
        curve: list[dict[str, float]] = []
        best = Best(module)
        for epoch in range(epochs):
            module.train()
            total = 0.0
            for rows in torch.split(learn[torch.randperm(len(learn))], BATCH):
                each = module.losses(events[rows])
                if trim and epoch:
                    each = smallest(each, trim)
                optimiser.zero_grad()
                each.mean().backward()
                torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
                optimiser.step()
                total += float(each.detach().mean()) * len(rows)
            schedule.step()
            module.eval()
            with torch.no_grad():
                parts = [module.losses(events[rows]) for rows in torch.split(validation, 4 * BATCH)]
                judged = float(smallest(torch.cat(parts), trim).mean())
            curve.append({"train": total / len(learn), "held_back": judged})
            say("training", (epoch + 1) / epochs)
            if best.has_passed(judged):
                break
        best.restore()
    say("training", 1.0)
    return curve


def split(order: Any) -> tuple[Any, Any]:
    """Of places of events: those that validate, and the others, which are learned from."""
    cut = max(1, round(VALIDATION_SHARE * len(order)))
    return order[:cut], order[cut:]


class Best:
    """The state in which a module judged best, and when to stop looking for a better one.

    Parameters
    ----------
    module : torch.nn.Module
    """

    def __init__(self, module: Any) -> None:
        self._module = module
        self._state = copy.deepcopy(module.state_dict())
        self._loss, self._since = float("inf"), 0

    def has_passed(self, loss: float) -> bool:
        """Take note of an epoch's loss of validation data; True if it was no better for `PATIENCE` epochs."""
        if loss < self._loss:
            self._loss, self._since = loss, 0
            self._state = copy.deepcopy(self._module.state_dict())
            return False
        self._since += 1
        return self._since >= PATIENCE

    def restore(self) -> None:
        """Put the module into its best state, ready to be used."""
        self._module.load_state_dict(self._state)
        self._module.eval()


def smallest(losses: Any, trim: float) -> Any:
    """Losses without the largest share `trim` of them."""
    kept = max(1, len(losses) - int(np.ceil(trim * len(losses))) if trim else len(losses))
    return losses.sort().values[:kept]


@contextmanager
def quiet() -> Iterator[None]:
    """Within it, neither warnings nor log lines below errors: exporters list there what is not installed."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def exported(module: Any, example: Floats, rows: int) -> bytes:
    """A module as ONNX, from the input `x` to as many outputs as it has, for any number of rows.

    Parameters
    ----------
    module : torch.nn.Module
    example : float64[n, ...]
        Some events.
    rows : int
        How many are compared: the outputs of ONNX Runtime with those of torch.

    Raises
    ------
    RuntimeError
        The outputs differ by more than 1e-5.
    """
    with quiet():
        program = torch.onnx.export(
            module,
            (torch.as_tensor(example, dtype=torch.float32),),
            input_names=["x"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            verbose=False,
        )
    network = bytes(program.model_proto.SerializeToString())
    x = torch.as_tensor(np.resize(example, (rows, *example.shape[1:])), dtype=torch.float32)
    with torch.no_grad():
        theirs = module(x)
    theirs = theirs if isinstance(theirs, tuple) else (theirs,)
    for mine, its in zip(open_session(network, "network", x.numpy()).run(None, {"x": x.numpy()}), theirs, strict=True):
        off = float(np.abs(mine - its.numpy()).max() / max(1.0, float(its.abs().max())))
        if off > TOLERANCE:
            raise RuntimeError(f"the exported network differs from the trained one by {off:.2g}")
    return network
