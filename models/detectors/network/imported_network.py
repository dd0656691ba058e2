"""A network that was made elsewhere: with TensorFlow, PyTorch, scikit-learn, XGBoost or others, and written as ONNX."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.fitted.fitted_detector import FittedDetector, Progress
from streamgauge.models.detectors.network.network_detector import CHUNK, LEAST, MOST, NETWORK, RUNTIME, USUAL, pooled
from streamgauge.models.errors import InputError, StateError
from streamgauge.models.lazy_modules import load_module
from streamgauge.models.persistence.codec import demand

Meaning = Literal["score", "reconstruction"]
USUAL_OUTPUTS = ("scores", "probabilities", "variable")  # names that converters give
_NAMES = """
Abs ArgMax ArgMin AveragePool Equal GlobalAveragePool Greater Less Log MaxPool Max Min Not ReduceLogSumExp ReduceMax
ReduceMin ReduceSum ReduceSumSquare Selu Sign Sum
ai.onnx.mlArrayFeatureExtractor ai.onnx.mlImputer ai.onnx.mlLabelEncoder ai.onnx.mlLinearClassifier
ai.onnx.mlLinearRegressor ai.onnx.mlNormalizer ai.onnx.mlSVMRegressor ai.onnx.mlScaler
ai.onnx.mlTreeEnsembleClassifier ai.onnx.mlTreeEnsembleRegressor
"""
OPERATORS = frozenset(_NAMES.split())  # beside those of our own networks


class ImportedNetwork(FittedDetector):
    """A network of others that scores each event by itself. It is not trained here: a history only says what is usual for it.

    The network takes the fields as they are, not normalised; a missing value counts as the field's median, and a value that is more
    than 20 usual deviations away from it counts as 20. It gives

    - a score: one number an event. The raw score is how far it is above its median in the history, in units of the way from there to
      its 99 % quantile;
    - or a reconstruction: all fields again. The raw score follows from the residuals, as for an autoencoder.

    Parameters
    ----------
    output : str, optional
        Name of the output to use; by default the only one, or one with a name that converters give.
    column : int, optional
        Which column of the output is the score, such as 1 of two probabilities.
    reads : {"score", "reconstruction"}, optional
        By default, an output as wide as the input is a reconstruction, and one number an event is a score.
    low_is_anomalous : bool
        Whether small scores are the anomalous ones, as in scikit-learn.
    seed : int
        Of the made-up anomalies that judge the model.
    """

    name: ClassVar[str] = "imported_network"
    trim: float = 0.0
    _session: Any = None

    def __init__(
        self,
        output: str | None = None,
        column: int | None = None,
        reads: Meaning | None = None,
        low_is_anomalous: bool = False,
        seed: int = 42,
    ) -> None:
        super().__init__()
        self.output = output
        self.column = column
        self.reads = reads
        self.low_is_anomalous = low_is_anomalous
        self.seed = seed

    def with_network(self, network: bytes) -> Self:
        """The same detector with a network, in ONNX, to be used from now on."""
        self.networks, self._session = {NETWORK: network}, None
        return self

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:
        """Memory beside the network itself, of which the settings say nothing."""
        return CHUNK * 64 * width + 2**20

    def _train(self, Z: Floats, say: Progress) -> None:
        if not self.networks:
            raise InputError(f"{self.name} is not trained here: import a network with `streamgauge models import`")
        say("running the network on the history", 0.1)
        session = self._open(Z.shape[1])
        self.chosen = {"output": self._output_of(session), "reads": ""}
        given = self._given(Z)
        wide = given.ndim == 2 and given.shape[1] == Z.shape[1] and self.column is None
        reads = self.reads or ("reconstruction" if wide and Z.shape[1] > 1 else "score")
        self.chosen["reads"] = reads
        if self.reads is None and wide and Z.shape[1] == 1:
            raise InputError("the output has one number for one field: say whether it is a score or a reconstruction")
        values = self._values(given, Z)
        if unknown := int((~np.isfinite(values)).any(axis=-1).sum()):
            raise InputError(f"the network gives no finite number for {unknown} of {len(Z)} events of the history")
        if reads == "reconstruction":
            self.arrays = {"middle": np.zeros(Z.shape[1]), "unit": np.quantile(values, USUAL, axis=0)}
            return
        middle, far = np.quantile(values, (0.5, USUAL))
        unit = far - middle or float(np.std(values)) or 1.0
        self.arrays = {"middle": np.array([middle]), "unit": np.array([unit])}

    def _check(self) -> None:
        if set(self.networks) != {NETWORK}:
            raise StateError(f"a {self.name} model has one network, this one has {len(self.networks)}")
        if set(self.chosen) != {"output", "reads"} or self.chosen["reads"] not in get_args(Meaning):
            raise StateError("it does not say how the network is read")
        if not isinstance(self.chosen["output"], str) or not isinstance(self.column, int | None):
            raise StateError("output must be a name, and column a number")
        width = self.width if self.chosen["reads"] == "reconstruction" else 1
        for name in ("middle", "unit"):
            if not np.isfinite(demand(self.arrays, name, np.float64, (width,))).all():
                raise StateError(f"{name} is not finite")

    # ---- scoring ------------------------------------------------------------------------------------------------------

    def _open(self, width: int) -> Any:
        runtime = load_module(RUNTIME)
        if self._session is None:
            example = np.zeros((CHUNK, width), np.float32)
            allowed = runtime.OPERATORS | OPERATORS
            self._session = runtime.open_session(self.networks[NETWORK], self.name, example, allowed)
        return self._session

    def _output_of(self, session: Any) -> str:
        """Name of the output to use."""
        names = [one.name for one in session.get_outputs()]
        if self.output is not None and self.output not in names:
            raise InputError(f"the network has no output {self.output!r}; it has: {', '.join(names)}")
        usual = [name for name in names if name in USUAL_OUTPUTS]
        found = [self.output] if self.output is not None else names if len(names) == 1 else usual
        if len(found) != 1:
            raise InputError(f"the network has several outputs, name the one to use: {', '.join(names)}")
        return found[0]

    def _given(self, Z: Floats) -> Floats:
        """What the network gives for normalised events: float64[n] or float64[n, k]."""
        X = self.normalisation.undo(Z)
        outputs: list[Floats] = load_module(RUNTIME).run_chunks(
            self._open(Z.shape[1]), X, CHUNK, [self.chosen["output"]]
        )
        return outputs[0]

    def _values(self, given: Floats, Z: Floats) -> Floats:
        """Residuals of each field, float64[n, d], or the score of each event, float64[n, 1], high is anomalous."""
        if self.chosen["reads"] == "reconstruction":
            if given.shape != Z.shape:
                raise InputError(
                    f"a reconstruction has {Z.shape[1]} columns, the output has the shape {given.shape[1:]}"
                )
            away: Floats = np.abs(Z - self.normalisation.apply(given))
            return away
        columns = given.reshape(len(given), math.prod(given.shape[1:]))
        if self.column is None and columns.shape[1] != 1:
            raise InputError(f"the output has {columns.shape[1]} columns: say which one is the score")
        if self.column is not None and not 0 <= self.column < columns.shape[1]:
            raise InputError(f"the output has {columns.shape[1]} columns, from 0: there is no column {self.column}")
        score = columns[:, [self.column or 0]]
        return -score if self.low_is_anomalous else score

    def _sizes(self, Z: Floats) -> Floats:
        values = self._values(self._given(Z), Z)
        least = LEAST if self.chosen["reads"] == "reconstruction" else 0.0
        sizes = (values - self.arrays["middle"]) / (self.arrays["unit"] + least)
        limited: Floats = np.clip(np.nan_to_num(sizes, posinf=MOST), 0.0, MOST)
        return limited

    def _rate(self, Z: Floats) -> Floats:
        return pooled(self._sizes(Z))

    def _weights(self, Z: Floats) -> Floats:
        return self._sizes(Z) ** 2 if self.chosen["reads"] == "reconstruction" else super()._weights(Z)

    def _expected(self, Z: Floats) -> Floats:
        if self.chosen["reads"] == "reconstruction":
            return self.normalisation.apply(self._given(Z))
        return super()._expected(Z)
