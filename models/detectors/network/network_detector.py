"""What detectors have in common whose model is a neural network: trained with torch, scored by ONNX Runtime."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.fitted.fitted_detector import FittedDetector, Progress
from streamgauge.models.errors import StateError

CHUNK = 64  # rows that a network is run on at once, always: so an event's score never depends on the size of its batch
TOP = 3  # fields whose mean residual counts
USUAL = 0.99  # quantile of the residuals that is their unit,
LEAST = 0.02  # plus so many scales
MOST = 20.0  # units that a residual counts at most
NETWORK = "network"


class NetworkDetector(FittedDetector):
    """A network that predicts what each field of an event should be; the residuals are the anomaly.

    Each field's residual is taken in units of its own 99 % quantile in held-back data; the magnitude is the mean of the three
    largest. Training holds back a part of the history to stop early, and leaves out the share `trim` of each batch with the
    largest losses, so that anomalies in the history are not learned.

    Attributes
    ----------
    hidden : int or None
        Size of the network; follows from the number of fields unless given.
    epochs : int
        Times that training goes through the history, at the most.
    """

    needs_torch: ClassVar[bool] = True
    hidden: int | None
    epochs: int
    _session: Any = None

    @abstractmethod
    def _module(self, width: int) -> Any:
        """A new torch module: takes float32[n, d] or float32[n, steps, d], gives the prediction of `_target`."""

    @abstractmethod
    def _size(self, width: int) -> int:
        """Size of the network when `hidden` is not given."""

    @staticmethod
    @abstractmethod
    def parameters(width: int, hidden: int, steps: int) -> int:
        """Numbers in the network."""

    def _target(self, Z: Floats) -> Floats:
        """What the network predicts: the event itself, unless told otherwise."""
        return Z[:, -1] if self.sequence else Z

    def size(self, width: int) -> int:
        """Size of the network for so many fields."""
        return self.hidden or self._size(width)

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:
        """See `FittedDetector`; weights are held twice, as bytes and by ONNX Runtime, beside what a chunk of rows needs."""
        detector = cls(**settings)
        hidden = detector.size(width)
        row = 4 * detector.steps * (4 * width + 8 * hidden)
        return 8 * cls.parameters(width, hidden, detector.steps) + CHUNK * row + 2**20

    def _train(self, Z: Floats, say: Progress) -> None:
        from streamgauge.models.training import training  # noqa: PLC0415  needs torch

        with training.seeded(self.seed):
            module = self._module(Z.shape[-1])
        self.curve = training.train(module, Z, self._loss, self.seed, self.trim, self.epochs, say)
        self._take(training.exported(module, Z[:8]), Z)

    def _loss(self, module: Any, z: Any) -> Any:
        """Loss of each event of a batch, torch float32[n]: Huber's, which large residuals do not rule."""
        from torch.nn.functional import smooth_l1_loss  # noqa: PLC0415

        target = z[:, -1] if self.sequence else z
        return smooth_l1_loss(module(z), target, reduction="none").flatten(1).mean(dim=1)

    def _take(self, network: bytes, Z: Floats) -> None:
        """Serve a network from now on, with the usual residuals of `Z`."""
        self.networks = {NETWORK: network}
        self._session = None
        self.arrays = {"usual": np.quantile(self._residuals(Z), USUAL, axis=0)}

    # ---- smaller networks ---------------------------------------------------------------------------------------------

    def quantised(self, X: Floats) -> Self:
        """The same detector with weights and activations of 8 bits.

        Parameters
        ----------
        X : float64[n, d] or float64[n, steps, d]
            Usual events, whose range the activations are given.
        """
        from streamgauge.models.training import training  # noqa: PLC0415

        Z = self._normalised(X)
        small = type(self)(**self.settings())
        small._normalisation, small.curve, small.chosen = self._normalisation, self.curve, {**self.chosen, "bits": 8}
        small._take(training.quantised(self.networks[NETWORK], Z), Z)
        return small

    def student(self, X: Floats, say: Progress) -> Self:
        """A network of a quarter the size that was taught to answer as this one does.

        Parameters
        ----------
        X : float64[n, d] or float64[n, steps, d]
            Usual events.
        say : callable
            Told of progress.
        """
        import torch  # noqa: PLC0415
        from streamgauge.models.training import training  # noqa: PLC0415

        Z = self._normalised(X)
        small = type(self)(**{**self.settings(), "hidden": max(1, self.size(Z.shape[-1]) // 4)})
        small._normalisation, small.chosen = self._normalisation, {**self.chosen, "student": True}
        answers = torch.as_tensor(self._run(Z)[0])
        with training.seeded(self.seed):
            module = small._module(Z.shape[-1])

        def loss(network: Any, z: Any, rows: Any) -> Any:
            out = network(z)
            out = out[0] if isinstance(out, tuple) else out
            return torch.nn.functional.smooth_l1_loss(out, answers[rows], reduction="none").flatten(1).mean(dim=1)

        small.curve = training.train(module, Z, loss, self.seed, 0.0, self.epochs, say, by_row=True)
        small._take(training.exported(module, Z[:8]), Z)
        return small

    # ---- scoring ------------------------------------------------------------------------------------------------------

    def _run(self, Z: Floats) -> list[Floats]:
        """The network's outputs, float64."""
        if self._session is None:
            self._session = session(self.networks[NETWORK], self.name)
        n = len(Z)
        padded = np.zeros((-(-max(n, 1) // CHUNK) * CHUNK, *Z.shape[1:]), np.float32)
        padded[:n] = Z
        parts = [self._session.run(None, {"x": padded[k : k + CHUNK]}) for k in range(0, len(padded), CHUNK)]
        return [np.concatenate(out).astype(np.float64)[:n] for out in zip(*parts, strict=True)]

    def _residuals(self, Z: Floats) -> Floats:
        """Absolute residual of each field, float64[n, fields]; more columns may follow."""
        away: Floats = np.abs(self._target(Z) - self._run(Z)[0])
        return away

    def _sizes(self, Z: Floats) -> Floats:
        sizes: Floats = np.minimum(self._residuals(Z) / (self.arrays["usual"] + LEAST), MOST)
        return sizes

    def _rate(self, Z: Floats) -> Floats:
        return self._pooled(self._sizes(Z))

    @staticmethod
    def _pooled(sizes: Floats) -> Floats:
        """Mean of the three largest."""
        if sizes.shape[1] > TOP:
            sizes = np.sort(np.partition(sizes, -TOP, axis=1)[:, -TOP:], axis=1)
        magnitude: Floats = sizes.mean(axis=1)
        return magnitude

    def _weights(self, Z: Floats) -> Floats:
        """Squared residuals, in units of the usual."""
        return self._sizes(Z)[:, : Z.shape[-1]] ** 2

    def _expected(self, Z: Floats) -> Floats:
        return self._run(Z)[0]


class EventNetwork(NetworkDetector):
    """A network that judges each event by itself.

    Parameters
    ----------
    hidden : int, optional
        Numbers in the narrowest layer; a third of the fields unless given, 64 at most.
    epochs : int
        At the most.
    trim : float
        Share of the history, the strangest, that is not learned from.
    seed : int
        Of all random choices.
    """

    def __init__(self, hidden: int | None = None, epochs: int = 60, trim: float = 0.02, seed: int = 42) -> None:
        super().__init__()
        self.hidden = hidden
        self.epochs = epochs
        self.trim = trim
        self.seed = seed

    def _size(self, width: int) -> int:
        return min(64, max(1, round(width / 3)))


class RunNetwork(NetworkDetector):
    """A network that judges an event by those of its entity before.

    Parameters
    ----------
    steps : int
        Events in a run, the judged one included.
    hidden : int, optional
        Size of the layers; 8 and two a field unless given, 64 at most.
    epochs : int
        At the most.
    trim : float
        Share of the history, the strangest, that is not learned from.
    seed : int
        Of all random choices.
    """

    sequence: ClassVar[bool] = True
    max_rows: ClassVar[int] = 10_000

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


def session(network: bytes, name: str) -> Any:
    """An ONNX Runtime session on one thread; StateError where the bytes are no network that it can run."""
    import onnxruntime  # noqa: PLC0415  a tenth of a second to import

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own errors have no common base but this
        raise StateError(f"the network of {name} cannot be loaded: {str(error)[:300]}") from error
