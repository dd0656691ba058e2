"""What is common to detectors that are trained once on a history and only score afterwards."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from streamgauge.models.contract import Floats, Ints, checked, share
from streamgauge.models.detectors.fitted.normalisation import Normalisation
from streamgauge.models.detectors.fitted.ranges import SEED, TRIM, Range
from streamgauge.models.errors import InputError, NotReadyError, StateError, WidthError
from streamgauge.models.persistence.codec import demand, pack, unpack
from streamgauge.models.persistence.unfinished import Unfinished

ARRAYS = "arrays.bin"  # file of an artefact; each network is a file .onnx
LEAST_ROWS = 64

Progress = Callable[[str, float], None]  # what is being done, and the share of the work that is done


def silent(what: str, done: float) -> None:
    """Ignore the progress."""


class FittedDetector(ABC):
    """A detector with `fit`, after which nothing changes it.

    The score of an event is ``m / (m + half_score)`` of its raw score m. All fields are normalised by the model's own `Normalisation`;
    a missing value counts as its centre. Scoring needs numpy, numba and onnxruntime only.

    Attributes
    ----------
    name : str
    half_score : float
        The raw score whose score is 0.5.
    sequence : bool
        Whether an event is scored together with those before it: each is then float64[steps, d], whose last row is the event.
    needs_torch : bool
        Whether training needs it.
    ranges : dict of str to Range
        What each argument of `__init__` may be in a training. One whose default is None may be None, too.
    max_rows : int
        Rows of the history that are trained on at most, drawn at random.
    arrays : dict of str to array
        What was learned.
    networks : dict of str to bytes
        ONNX, by file name without its suffix.
    curve : list of dict
        Losses of training and validation data by epoch, where there are epochs.
    chosen : dict
        What training chose by itself.
    unfinished : Unfinished or None
        Where a long training saves its state. Only networks do.
    """

    name: ClassVar[str]
    state_version: ClassVar[int] = 1
    half_score: ClassVar[float] = 3.0
    sequence: ClassVar[bool] = False
    needs_torch: ClassVar[bool] = False
    ranges: ClassVar[dict[str, Range]] = {"trim": TRIM, "seed": SEED}
    max_rows: ClassVar[int] = 50_000
    trim: float
    seed: int
    steps: int = 1
    unfinished: Unfinished | None = None
    _normalisation: Normalisation | None = None

    def __init__(self) -> None:
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self.networks: dict[str, bytes] = {}
        self.curve: list[dict[str, float]] = []
        self.chosen: dict[str, Any] = {}

    # ---- to be written by each ----------------------------------------------------------------------------------------

    @abstractmethod
    def _train(self, Z: Floats, say: Progress) -> None:
        """Fill `arrays` and `networks`.

        Parameters
        ----------
        Z : float64[n, d] or float64[n, steps, d]
            Normalised.
        say : callable
        """

    @abstractmethod
    def _rate(self, Z: Floats) -> Floats:
        """Raw scores of normalised events, at least 0; that of an event does not depend on the others of the batch."""

    def _weights(self, Z: Floats) -> Floats:
        """Each field's part in the raw score, float64[n, d], at least 0: how much it falls when the field is as expected."""
        expected = self._expected(Z)
        raw_score = self._rate(Z)
        weights = np.zeros(expected.shape)
        for j in range(expected.shape[1]):
            other = Z.copy()
            if self.sequence:
                other[:, -1, j] = expected[:, j]
            else:
                other[:, j] = expected[:, j]
            weights[:, j] = np.maximum(raw_score - self._rate(other), 0.0)
        return weights

    def _expected(self, Z: Floats) -> Floats:
        """Expected value of each field of each event, normalised, float64[n, d]; here the fields' centres."""
        return np.zeros((Z.shape[0], Z.shape[-1]))

    @abstractmethod
    def _check(self) -> None:
        """Raise StateError if `arrays` or `networks` are not as `_rate` and `_weights` rely on; a model file is not trusted."""

    @classmethod
    @abstractmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:
        """Memory that such a model will need, before it is made.

        Parameters
        ----------
        width : int
            Fields.
        settings
            Arguments of `__init__`.
        """

    @classmethod
    def check_settings(cls, settings: dict[str, Any]) -> None:
        """Raise InputError if it cannot be trained with the value of an argument; it says what is allowed."""
        usual = cls().settings()
        for key, value in settings.items():
            if key in cls.ranges and not cls.ranges[key].has(value) and not (value is None and usual[key] is None):
                or_none = "; leave it out, and it is chosen" if usual[key] is None else ""
                allowed = f"{key} must be {cls.ranges[key]}{or_none}"
                raise InputError(f"{cls.name} cannot be trained with {key}={value!r}: {allowed}")

    # ---- the contract -------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether it is trained."""
        return self._normalisation is not None

    @property
    def width(self) -> int | None:
        """Fields it was trained on."""
        return None if self._normalisation is None else len(self._normalisation.centre)

    @property
    def normalisation(self) -> Normalisation:
        """Centres and scales of its fields; NotReadyError before training."""
        if self._normalisation is None:
            raise NotReadyError(f"{self.name} needs training before it scores: call fit, or load a trained one")
        return self._normalisation

    def fit(self, X: Floats, groups: Ints | None = None, say: Progress = silent) -> Self:
        """Learn what is usual.

        The share `trim` of the history with the highest raw scores is not learned from: a few anomalies in it do no harm.

        Parameters
        ----------
        X : float64[n, d]
            A history, in order. NaN is missing.
        groups : int64[n], optional
            The entity of each row; one entity unless given. Only sequences need it.
        say : callable
            Is called with what is being done, and the share of the work that is done.

        Raises
        ------
        NotReadyError
            Too few rows.
        WidthError
            It is no matrix.
        """
        X = checked(X, None, self.name)
        least = LEAST_ROWS + self.steps
        if len(X) < least:
            raise NotReadyError(f"{self.name} needs {least} rows to be trained, there are {len(X)}")
        self._normalisation = Normalisation.of(X)
        Z = self._normalisation.apply(X)
        if self.sequence:
            Z = windows(Z, groups, self.steps, self.max_rows)
            if len(Z) < LEAST_ROWS:
                self._normalisation = None
                raise NotReadyError(
                    f"{self.name} needs {LEAST_ROWS} runs of {self.steps} events of one entity, there are {len(Z)}"
                )
        elif len(Z) > self.max_rows:
            Z = Z[drawn(len(Z), self.max_rows)]
        self._train(Z, say)
        return self

    def rate_many(self, X: Floats) -> Floats:
        """Raw scores of events.

        Parameters
        ----------
        X : float64[n, d], or float64[n, steps, d] where `sequence`

        Returns
        -------
        float64[n]
            At least 0, high is anomalous.
        """
        return self._rate(self._normalised(X))

    def score_many(self, X: Floats) -> Floats:
        """Scores of events, 0 to 1, high is anomalous; see `rate_many`."""
        return self._score(self.rate_many(X))

    def score_one(self, x: Floats) -> float:
        """Score of one event, float64[d] or float64[steps, d]."""
        return float(self.score_many(np.asarray(x, dtype=np.float64)[None])[0])

    def explain_many(self, X: Floats) -> Floats:
        """Contribution of each field to the score of each event.

        Returns
        -------
        float64[n, d]
            At least 0; each row adds up to the score.
        """
        Z = self._normalised(X)
        return share(self._weights(Z), self._score(self._rate(Z)))

    def expected_many(self, X: Floats) -> Floats:
        """Expected value of each field of each event, float64[n, d], in the fields' own units."""
        return self.normalisation.undo(self._expected(self._normalised(X)))

    def settings(self) -> dict[str, Any]:
        """The arguments of `__init__`, as they were given."""
        return {
            name: getattr(self, name) for name in inspect.signature(type(self).__init__).parameters if name != "self"
        }

    # ---- artefacts ----------------------------------------------------------------------------------------------------

    def to_files(self) -> dict[str, bytes]:
        """The artefact, by file name: arrays in our versioned format, networks as ONNX."""
        meta = {
            "settings": self.settings(),
            "curve": self.curve,
            "chosen": self.chosen,
            "networks": sorted(self.networks),
        }
        arrays = dict(self.arrays)
        if self._normalisation is not None:
            arrays |= {"centre": self._normalisation.centre, "scale": self._normalisation.scale}
        files = {ARRAYS: pack(self.name, self.state_version, meta, arrays)}
        return files | {f"{name}.onnx": network for name, network in self.networks.items()}

    @classmethod
    def from_files(cls, files: dict[str, bytes]) -> Self:
        """The detector that `to_files` saved.

        Raises
        ------
        StateError
            A file is missing, damaged, of another detector or of a format that is not known.
        """
        if ARRAYS not in files:
            raise StateError(f"the {cls.name} model has no file {ARRAYS}")
        meta, arrays = unpack(files[ARRAYS], cls.name, cls.state_version)
        try:
            detector = cls(**meta["settings"])
            detector.curve, detector.chosen = meta["curve"], meta["chosen"]
            names = [str(name) for name in meta["networks"]]
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"the {cls.name} model has settings that do not fit: {error}") from error
        if type(detector.steps) is not int or detector.steps < 1:
            raise StateError(f"the {cls.name} model has {detector.steps!r} steps, it must be a number from 1")
        for name in names:
            if f"{name}.onnx" not in files:
                raise StateError(f"the {cls.name} model has no file {name}.onnx")
            detector.networks[name] = files[f"{name}.onnx"]
        detector.arrays = arrays
        if "centre" in arrays:
            centre = demand(arrays, "centre", np.float64, (None,))
            detector._normalisation = Normalisation(centre, demand(arrays, "scale", np.float64, centre.shape))
            del arrays["centre"], arrays["scale"]
            try:
                detector._check()
            except StateError as error:
                raise StateError(f"the {cls.name} model does not fit: {error}") from error
        return detector

    def to_state(self) -> bytes:
        """The artefact as one value."""
        files = {name: np.frombuffer(data, np.uint8) for name, data in self.to_files().items()}
        return pack(f"{self.name} files", self.state_version, {}, dict(files))

    @classmethod
    def from_state(cls, state: bytes) -> Self:
        """The detector that `to_state` saved; StateError where the bytes are none."""
        _, files = unpack(state, f"{cls.name} files", cls.state_version)
        return cls.from_files({name: data.tobytes() for name, data in files.items()})

    def _normalised(self, X: Floats) -> Floats:
        normalisation = self.normalisation
        if not self.sequence:
            return normalisation.apply(checked(X, self.width, self.name))
        X = np.asarray(X, dtype=np.float64)
        if X.ndim != 3 or X.shape[1:] != (self.steps, self.width):
            raise WidthError(
                f"{self.name} takes an array [events, {self.steps} steps, {self.width} features], not one of shape {X.shape}"
            )
        return normalisation.apply(X)

    def _score(self, raw_score: Floats) -> Floats:
        score: Floats = raw_score / (raw_score + self.half_score)
        return score


def drawn(n: int, most: int) -> Ints:
    """Places of `most` of n rows, in order, always the same. They are random: with even steps, entities that take turns may be left out."""
    return np.sort(np.random.default_rng(0).choice(n, most, replace=False))


def windows(Z: Floats, groups: Ints | None, steps: int, most: int) -> Floats:
    """Runs of `steps` rows of one entity, in order of their last row.

    Parameters
    ----------
    Z : float64[n, d]
    groups : int64[n] or None
        The entity of each row.
    steps, most : int
        Drawn at random where there are more than `most`.

    Returns
    -------
    float64[m, steps, d]
    """
    groups = np.zeros(len(Z), np.int64) if groups is None else groups
    order = np.argsort(groups, kind="stable")
    sorted_groups = groups[order]
    last = np.arange(steps - 1, len(Z))
    last = last[sorted_groups[last - steps + 1] == sorted_groups[last]]
    last = last[np.argsort(order[last], kind="stable")]
    if len(last) > most:
        last = last[drawn(len(last), most)]
    rows = order[last[:, None] + np.arange(1 - steps, 1)]
    return np.ascontiguousarray(Z[rows])
