"""What is common to detectors whose model is a neural network: trained with torch, scored by ONNX Runtime."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.fitted.fitted_detector import FittedDetector, Progress
from streamgauge.models.detectors.fitted.normalisation import Normalisation
from streamgauge.models.detectors.fitted.ranges import Range
from streamgauge.models.errors import StateError
from streamgauge.models.lazy_modules import load_module
from streamgauge.models.persistence.codec import demand

CHUNK = (
    64  # rows that a network is always run on at once, so that an event's score never depends on the size of its batch
)
TOP = 3  # fields whose mean residual counts
USUAL = 0.99  # quantile of the residuals that is their unit,
LEAST = 0.02  # plus so many scales
MOST = 20.0  # units that a residual counts at most
NETWORK = "network"
TRAINING = "detectors.network.torch_training"
RUNTIME = "detectors.network.onnx_session"


def layers(width: int) -> tuple[int, int]:
    """Sizes of the two layers on each side of the narrowest one, for so many fields: wide enough for curved relations of few fields."""
    outer = min(256, 48 + 4 * width)
    return outer, outer // 2


def pooled(sizes: Floats) -> Floats:
    """Mean of the three largest of each row of float64[n, d]."""
    if sizes.shape[1] > TOP:
        sizes = np.sort(np.partition(sizes, -TOP, axis=1)[:, -TOP:], axis=1)
    raw_score: Floats = sizes.mean(axis=1)
    return raw_score


class NetworkDetector(FittedDetector):
    """A network that predicts what each field of an event should be; the raw score follows from the residuals.

    Each field's residual is divided by its own 99 % quantile in the history; the raw score is the mean of the three largest. Training
    keeps a part of the history as validation data, to stop early, and leaves out the share `trim` of each batch with the largest
    losses, so that anomalies in the history are not learned.

    Attributes
    ----------
    hidden : int or None
        Size of the network; it follows from the number of fields unless given.
    epochs : int
        Times that training goes through the history, at the most.
    """

    needs_torch: ClassVar[bool] = True
    ranges: ClassVar[dict[str, Range]] = FittedDetector.ranges | {"hidden": Range(1), "epochs": Range(1)}
    hidden: int | None
    epochs: int
    _session: Any = None

    @abstractmethod
    def new_module(self, width: int) -> Any:
        """A new torch module for so many fields.

        It takes float32[n, d] or float32[n, steps, d] and gives the prediction of `_target`; its `losses` are those of each event.
        """

    @abstractmethod
    def _size(self, width: int) -> int:
        """Size of the network when `hidden` is not given."""

    @staticmethod
    @abstractmethod
    def parameters(width: int, hidden: int, steps: int) -> int:
        """Numbers in the network."""

    def _target(self, Z: Floats) -> Floats:
        """What the network predicts: the event itself."""
        return Z[:, -1] if self.sequence else Z

    def size(self, width: int) -> int:
        """Size of the network for so many fields."""
        return self.hidden or self._size(width)

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:
        """See `FittedDetector`; the weights are in memory twice, as bytes and in ONNX Runtime; a chunk of rows needs more."""
        detector = cls(**settings)
        hidden = detector.size(width)
        row = 4 * detector.steps * (4 * width + 8 * max(hidden, layers(width)[0]))
        return 8 * cls.parameters(width, hidden, detector.steps) + CHUNK * row + 2**20

    def _train(self, Z: Floats, say: Progress) -> None:
        torch_training = load_module(TRAINING)
        with torch_training.seeded(self.seed):
            module = self.new_module(Z.shape[-1])
        self.curve = torch_training.train(module, Z, self.seed, self.trim, self.epochs, say, self.unfinished)
        self.use(torch_training.exported(module, Z[:8], CHUNK), self.normalisation, Z)

    def use(self, network: bytes, normalisation: Normalisation, Z: Floats) -> None:
        """Score with a network from now on.

        Parameters
        ----------
        network : bytes
            ONNX.
        normalisation : Normalisation
            That it was trained with.
        Z : float64[n, d] or float64[n, steps, d]
            Normalised usual events: their residuals become the units.
        """
        self._normalisation = normalisation
        self.networks = {NETWORK: network}
        self._session = None
        self.arrays = {"usual": np.quantile(self._residuals(Z), USUAL, axis=0)}

    def _check(self) -> None:
        if set(self.networks) != {NETWORK}:
            raise StateError(f"a {self.name} model has one network, this one has {len(self.networks)}")
        demand(self.arrays, "usual", np.float64, (None,))

    # ---- scoring ------------------------------------------------------------------------------------------------------

    def _run(self, Z: Floats) -> list[Floats]:
        """The network's outputs, float64."""
        runtime = load_module(RUNTIME)
        if self._session is None:
            example = np.zeros((CHUNK, *Z.shape[1:]), np.float32)
            self._session = runtime.open_session(self.networks[NETWORK], self.name, example)
        outputs: list[Floats] = runtime.run_chunks(self._session, Z, CHUNK)
        return outputs

    def _residuals(self, Z: Floats) -> Floats:
        """Absolute residual of each field, float64[n, fields]; more columns may follow."""
        away: Floats = np.abs(self._target(Z) - self._run(Z)[0])
        return away

    def _sizes(self, Z: Floats) -> Floats:
        sizes: Floats = np.minimum(self._residuals(Z) / (self.arrays["usual"] + LEAST), MOST)
        return sizes

    def _rate(self, Z: Floats) -> Floats:
        return pooled(self._sizes(Z))

    def _weights(self, Z: Floats) -> Floats:
        """Squared residuals, in their units."""
        return self._sizes(Z)[:, : Z.shape[-1]] ** 2

    def _expected(self, Z: Floats) -> Floats:
        return self._run(Z)[0]


class EventNetwork(NetworkDetector):
    """A network that scores each event by itself, with three layers on each side of its code.

    The outer layers follow from the number of fields; training ends when validation data are no better for 15 epochs.

    Parameters
    ----------
    hidden : int, optional
        Numbers in the narrowest layer; a third of the fields unless given, 64 at most.
    epochs : int
        At the most.
    trim : float
        Share of the history that is not learned from: the events with the highest raw scores.
    seed : int
        Of all random choices.
    """

    def __init__(self, hidden: int | None = None, epochs: int = 200, trim: float = 0.02, seed: int = 42) -> None:
        super().__init__()
        self.hidden = hidden
        self.epochs = epochs
        self.trim = trim
        self.seed = seed

    def _size(self, width: int) -> int:
        return min(64, max(1, round(width / 3)))


class RunNetwork(NetworkDetector):
    """A network that scores an event by those of its entity before it.

    Parameters
    ----------
    steps : int
        Events in a run, the scored one included.
    hidden : int, optional
        Size of the layers; 8 and two a field unless given, 64 at most.
    epochs : int
        At the most.
    trim : float
        Share of the history that is not learned from: the events with the highest raw scores.
    seed : int
        Of all random choices.
    """

    sequence: ClassVar[bool] = True
    max_rows: ClassVar[int] = 10_000
    ranges: ClassVar[dict[str, Range]] = NetworkDetector.ranges | {"steps": Range(2)}

    def __init__(
        self, steps: int = 16, hidden: int | None = None, epochs: int = 40, trim: float = 0.02, seed: int = 42
    ) -> None:
        super().__init__()
        self.steps = steps
        self.hidden = hidden
        self.epochs = epochs
        self.trim = trim
        self.seed = seed

    def _size(self, width: int) -> int:
        return min(64, 8 + 2 * width)
