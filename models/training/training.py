"""Training of networks with torch, and what becomes of them: ONNX, in 32 or 8 bits. Nothing here is needed to score."""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.fitted.fitted_detector import Progress
from streamgauge.models.errors import InputError

BATCH = 256
RATE = 2e-3  # of Adam, falling to a twentieth as a cosine
PATIENCE = 8  # epochs without a better loss of held-back data, after which training ends
HELD_BACK = 0.15
TOLERANCE = 1e-5  # by which ONNX Runtime's outputs may differ from torch's
Loss = Callable[..., Any]


def need_torch() -> Any:
    """The torch module; InputError says how to install it."""
    try:
        import torch  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            "training a network needs torch, which is not installed: pip install -c constraints.txt '.[train]' (scoring does not)"
        ) from error
    return torch


@contextmanager
def seeded(seed: int) -> Iterator[Any]:
    """Torch with its random numbers begun at `seed`; those of others go on as before."""
    torch = need_torch()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield torch


def train(
    module: Any,
    Z: Floats,
    loss: Loss,
    seed: int,
    trim: float,
    epochs: int,
    say: Progress,
    *,
    by_row: bool = False,
) -> list[dict[str, float]]:
    """Train a module, and leave it in its best state.

    Parameters
    ----------
    module : torch.nn.Module
    Z : float64[n, ...]
        Normalised events.
    loss : callable
        Of module and batch; the loss of each event.
    seed : int
    trim : float
        Share of each batch, that with the largest losses, which is not learned from; from the second epoch on.
    epochs : int
    say : callable
        Told of progress.
    by_row : bool
        Whether `loss` is told the events' places in `Z` too.

    Returns
    -------
    list of dict
        For each epoch ``train`` and ``held_back``: mean losses, of held-back data without its largest `trim`.
    """
    with seeded(seed) as torch:
        events = torch.as_tensor(Z, dtype=torch.float32)
        order = torch.randperm(len(events))
        judge, learn = halves(order)

        def losses(rows: Any) -> Any:
            return loss(module, events[rows], rows) if by_row else loss(module, events[rows])

        optimiser = torch.optim.Adam(module.parameters(), RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs, RATE / 20)
        curve: list[dict[str, float]] = []
        best = Best(module)
        for epoch in range(epochs):
            module.train()
            total = 0.0
            for rows in torch.split(learn[torch.randperm(len(learn))], BATCH):
                each = losses(rows)
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
                held = float(smallest(torch.cat([losses(rows) for rows in torch.split(judge, 4 * BATCH)]), trim).mean())
            curve.append({"train": total / len(learn), "held_back": held})
            say("training", (epoch + 1) / epochs)
            if best.has_passed(held):
                break
        best.restore()
    say("training", 1.0)
    return curve


def halves(order: Any) -> tuple[Any, Any]:
    """Events to judge by, a part of them, and the others to learn from."""
    cut = max(1, round(HELD_BACK * len(order)))
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
        """Take note of an epoch's loss of held-back data; whether none was better for `PATIENCE` epochs."""
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


def exported(module: Any, example: Floats) -> bytes:
    """A module as ONNX, from the input `x` to as many outputs as it has, for any number of rows.

    Raises
    ------
    RuntimeError
        ONNX Runtime's outputs differ from torch's by more than 1e-5.
    """
    torch = need_torch()
    from streamgauge.models.detectors.network.network_detector import CHUNK, session  # noqa: PLC0415

    x = torch.as_tensor(example, dtype=torch.float32)
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the exporter lists what is not installed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                (x,),
                input_names=["x"],
                dynamic_shapes=({0: torch.export.Dim("n")},),
                dynamo=True,
                verbose=False,
            )
    finally:
        logging.disable(before)
    network = bytes(program.model_proto.SerializeToString())
    rows = torch.as_tensor(np.resize(example, (CHUNK, *example.shape[1:])), dtype=torch.float32)
    with torch.no_grad():
        theirs = module(rows)
    theirs = theirs if isinstance(theirs, tuple) else (theirs,)
    for mine, its in zip(session(network, "network").run(None, {"x": rows.numpy()}), theirs, strict=True):
        off = float(np.abs(mine - its.numpy()).max() / max(1.0, float(its.abs().max())))
        if off > TOLERANCE:
            raise RuntimeError(f"the exported network differs from the trained one by {off:.2g}")
    return network


def quantised(network: bytes, Z: Floats) -> bytes:
    """A network with weights and activations of 8 bits, scaled by what `Z` shows.

    The scales are fixed, not taken from each batch: an event's score never depends on the others in its batch.
    """
    from onnxruntime import quantization  # noqa: PLC0415

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            chosen = Z[np.linspace(0, len(Z) - 1, min(512, len(Z))).astype(np.int64)]
            self._parts = iter(np.array_split(chosen.astype(np.float32), 8))

        def get_next(self) -> Any:
            part = next(self._parts, None)
            return None if part is None else {"x": part}

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with tempfile.TemporaryDirectory() as folder:
            source, prepared, target = (Path(folder) / f"{name}.onnx" for name in ("source", "prepared", "target"))
            source.write_bytes(network)
            quantization.shape_inference.quant_pre_process(source, prepared, skip_symbolic_shape=True)
            quantization.quantize_static(prepared, target, Reader(), per_channel=True)
            return target.read_bytes()
    finally:
        logging.disable(before)
