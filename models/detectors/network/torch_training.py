"""Training of networks with torch, and what becomes of them: ONNX. Nothing here is needed to score."""

from __future__ import annotations

import copy
import hashlib
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.fitted.fitted_detector import Progress
from streamgauge.models.detectors.network.onnx_session import open_session
from streamgauge.models.errors import StateError
from streamgauge.models.persistence.codec import demand, pack, unpack
from streamgauge.models.persistence.unfinished import Unfinished

BATCH = 256
RATE = 2e-3  # of Adam, falling to a twentieth as a cosine
PATIENCE = 15  # epochs without a better loss of validation data, after which training ends
VALIDATION_SHARE = 0.15  # of the events, drawn at random
KEPT_EVERY = 10.0  # seconds between two saves of the state of a training
KIND = "unfinished training"
# Version of the saved state. Raise it whenever trainings change, so that none begins in one way and goes on in another.
FORMAT = 1
ADAM = ("step", "exp_avg", "exp_avg_sq")  # its state for each parameter
TOLERANCE = 1e-5  # by which ONNX Runtime's outputs may differ from torch's


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it, torch's random numbers begin at `seed`; afterwards they go on as if nothing had happened."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def train(
    module: Any, Z: Floats, seed: int, trim: float, epochs: int, say: Progress, unfinished: Unfinished | None = None
) -> list[dict[str, float]]:
    """Train a module, and leave it in its best state.

    A training that was interrupted continues after the last epoch that was saved, with the same result as if it had not been.

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
    unfinished : Unfinished, optional
        Where it saves its state while it takes long.

    Returns
    -------
    list of dict
        For each epoch ``train`` and ``held_back``: mean losses, those of validation data without the largest share `trim`.
    """
    with seeded(seed):
        events = torch.as_tensor(Z, dtype=torch.float32)
        validation, learn = split(torch.randperm(len(events)))
        state = TrainingState(module, epochs)
        what = {} if unfinished is None else identity(module, Z, {"seed": seed, "trim": trim, "epochs": epochs})
        if unfinished is not None and (kept := unfinished.kept()) is not None:
            try:
                state.continue_from(kept, what)
                unfinished.tell(f"continues after epoch {len(state.curve)} of {epochs}")
            except (StateError, RuntimeError) as error:
                unfinished.tell(f"begins anew: {error}")
        curve, best, optimiser, saved_at = state.curve, state.best, state.optimiser, time.monotonic()
        while len(curve) < epochs and not best.has_passed:
            module.train()
            total = 0.0
            for rows in torch.split(learn[torch.randperm(len(learn))], BATCH):
                each = module.losses(events[rows])
                if trim and curve:
                    each = smallest(each, trim)
                optimiser.zero_grad()
                each.mean().backward()
                torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
                optimiser.step()
                total += float(each.detach().mean()) * len(rows)
            state.schedule.step()
            module.eval()
            with torch.no_grad():
                parts = [module.losses(events[rows]) for rows in torch.split(validation, 4 * BATCH)]
                judged = float(smallest(torch.cat(parts), trim).mean())
            curve.append({"train": total / len(learn), "held_back": judged})
            best.note(judged)
            if unfinished is not None and time.monotonic() - saved_at >= KEPT_EVERY:
                unfinished.keep(state.to_bytes(what))
                saved_at = time.monotonic()
            say("training", len(curve) / epochs)
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
        self.state = copy.deepcopy(module.state_dict())
        self._loss, self._since = float("inf"), 0

    def note(self, loss: float) -> None:
        """Take note of an epoch's loss of validation data."""
        if loss < self._loss:
            self._loss, self._since = loss, 0
            self.state = copy.deepcopy(self._module.state_dict())
        else:
            self._since += 1

    @property
    def has_passed(self) -> bool:
        """Whether the last `PATIENCE` epochs were no better."""
        return self._since >= PATIENCE

    def restore(self) -> None:
        """Put the module into its best state, ready to be used."""
        self._module.load_state_dict(self.state)
        self._module.eval()


class TrainingState:
    """State of a training between two epochs. With the random numbers of torch, the next epoch follows from it.

    Parameters
    ----------
    module : torch.nn.Module
    epochs : int
        Of the whole training.

    Attributes
    ----------
    curve : list of dict
        See `train`.
    """

    def __init__(self, module: Any, epochs: int) -> None:
        self._module = module
        self.optimiser = torch.optim.Adam(module.parameters(), RATE)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, epochs, RATE / 20)
        self.best = Best(module)
        self.curve: list[dict[str, float]] = []

    def to_bytes(self, what: dict[str, Any]) -> bytes:
        """The state, saved; `what` is trained (see `identity`)."""
        tensors = {f"now.{key}": value for key, value in self._module.state_dict().items()}
        tensors |= {f"best.{key}": value for key, value in self.best.state.items()}
        for i, known in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{key}": value for key, value in known.items()}
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        arrays["random"] = torch.get_rng_state().numpy()
        arrays["curve"] = np.array([[epoch["train"], epoch["held_back"]] for epoch in self.curve])
        return pack(KIND, FORMAT, what, arrays)

    def continue_from(self, kept: bytes, what: dict[str, Any]) -> None:
        """Continue from where `to_bytes` was called.

        Raises
        ------
        StateError, RuntimeError
            It is damaged, or something else was trained. Nothing has changed then.
        """
        before, arrays = unpack(kept, KIND, FORMAT)
        if differ := [key for key, value in what.items() if before.get(key) != value]:
            raise StateError(f"the training that was interrupted differs in: {', '.join(differ)}")

        def found(name: str, like: Any) -> Any:
            """A tensor of the type and shape of another one."""
            array = demand(arrays, name, like.detach().numpy().dtype, tuple(like.shape) or (1,))
            return torch.from_numpy(array).reshape(like.shape)

        random = found("random", torch.get_rng_state())
        now, best = (
            {key: found(f"{which}.{key}", like) for key, like in self._module.state_dict().items()}
            for which in ("now", "best")
        )
        adam = {
            i: {key: found(f"adam.{i}.{key}", torch.zeros(()) if key == "step" else like) for key in ADAM}
            for i, like in enumerate(self._module.parameters())
        }
        curve = demand(arrays, "curve", np.float64, (None, 2)).tolist()
        torch.set_rng_state(random)  # first, because it may refuse them
        self._module.load_state_dict(now)
        self.optimiser.load_state_dict(self.optimiser.state_dict() | {"state": adam})
        self.curve += [{"train": train, "held_back": judged} for train, judged in curve]
        with quiet():  # torch warns that the rate falls without a step of the optimiser
            for _, judged in curve:
                self.schedule.step()
                self.best.note(judged)
        self.best.state = best


def identity(module: Any, Z: Floats, settings: dict[str, Any]) -> dict[str, Any]:
    """What is trained, on what and how: a training may only be continued if all of it is equal."""
    data = hashlib.sha256(np.ascontiguousarray(Z).data)
    return {
        "network": str(module),
        "settings": settings,
        "data": f"{Z.shape} {data.hexdigest()}",
        "version of torch": str(torch.__version__),
    }


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
    proto = program.model_proto
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info):
        del part.metadata_props[:]  # torch puts traces with the paths of this machine's files there
    network = bytes(proto.SerializeToString())
    x = torch.as_tensor(np.resize(example, (rows, *example.shape[1:])), dtype=torch.float32)
    with torch.no_grad():
        theirs = module(x)
    theirs = theirs if isinstance(theirs, tuple) else (theirs,)
    for mine, its in zip(open_session(network, "network", x.numpy()).run(None, {"x": x.numpy()}), theirs, strict=True):
        off = float(np.abs(mine - its.numpy()).max() / max(1.0, float(its.abs().max())))
        if off > TOLERANCE:
            raise RuntimeError(f"the exported network differs from the trained one by {off:.2g}")
    return network
