"""Opinions to verdicts: each detector's magnitude to a tail probability, and these to one of all together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from streamgauge.models.calibration import TailCalibrator
from streamgauge.models.contract import Flags, Floats
from streamgauge.models.ensemble import combine, disagree, most_surprised
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.records import Verdicts
from streamgauge.udfs.settings import CalibrationSettings


class Calibrators:
    """One calibrator for each detector of a log, and one for their combination.

    Parameters
    ----------
    weights : float64[detectors]
        Of the detectors in the ensemble.
    in_nats : bool[detectors]
        Detectors whose magnitude is a surprise already; where one of them has an opinion, theirs alone decides.
    settings : CalibrationSettings
    """

    kind = "calibrators"
    version = 1

    def __init__(self, weights: Floats, in_nats: Flags, settings: CalibrationSettings) -> None:
        self.weights, self.in_nats = weights, in_nats
        self.members = [TailCalibrator(settings.memory, settings.warmup) for _ in weights]
        self.together = TailCalibrator(settings.memory, settings.warmup)

    def calibrate(self, magnitudes: Floats) -> Verdicts:
        """Rate events in row order and learn from them.

        Parameters
        ----------
        magnitudes : float64[n, detectors]
            NaN where a detector has no opinion.
        """
        ready = ~np.isnan(magnitudes)
        surprises = np.full(magnitudes.shape, np.nan)
        asked = ready.any(axis=0)
        for k, member in enumerate(self.members):
            if not asked[k]:
                continue
            column = np.ascontiguousarray(magnitudes[:, k])
            if self.in_nats[k]:
                surprises[:, k] = column
                continue
            before = member.learned
            surprises[:, k] = member.rate_learn_many(column)
            ready[:, k] &= before + np.cumsum(ready[:, k]) > member.warmup
        judged = ready & ~self.in_nats
        surprise = np.nan_to_num(self.together.rate_learn_many(combine(surprises, judged, self.weights)))
        surprise = np.maximum(surprise, most_surprised(surprises, judged))
        if (asked & self.in_nats).any():
            own = combine(surprises, ready & self.in_nats, self.weights)
            surprise = np.where(np.isnan(own), surprise, own)
        disagreement = disagree(surprises, ready)
        return Verdicts(np.where(ready, surprises, np.nan), surprise, disagreement)

    def to_state(self) -> bytes:
        """All that was learned, versioned."""
        parts = [member.to_state() for member in (*self.members, self.together)]
        arrays: dict[str, npt.NDArray[np.uint8]] = {
            str(k): np.frombuffer(part, np.uint8) for k, part in enumerate(parts)
        }
        return pack(self.kind, self.version, {}, arrays)

    def restore(self, state: bytes) -> None:
        """Become what `to_state` saved; StateError where the bytes are no such thing."""
        _, arrays = unpack(state, self.kind, self.version)
        parts = [TailCalibrator.from_state(arrays[str(k)].tobytes()) for k in range(len(arrays))]
        self.members, self.together = parts[:-1], parts[-1]
