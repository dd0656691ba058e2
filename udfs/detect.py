"""Features to opinions: per-entity detectors on the fields, cohort detectors on the features."""

from __future__ import annotations

from typing import Any

import numpy as np
from streamgauge.models.calibration import magnitude
from streamgauge.models.catalog import COHORT
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.rolling_z_score import RollingZScore
from streamgauge.models.windowed_forest import WindowedForest
from streamgauge.udfs.featurize import CHANNELS
from streamgauge.udfs.records import Opinions
from streamgauge.udfs.settings import DetectorSettings


class Detectors:
    """The detectors of one log.

    Parameters
    ----------
    settings : DetectorSettings
    versions : dict
        By detector: the version and parameters that a control message put in the settings' place.
    """

    def __init__(self, settings: DetectorSettings, versions: dict[str, dict[str, Any]] | None = None) -> None:
        z = settings.rolling_z_score
        self.per_entity = RollingZScore(**z.model_dump(exclude={"weight"})) if z else None
        self.cohort: dict[str, WindowedForest] = {}
        weights = {} if z is None else {RollingZScore.name: z.weight}
        self.versions = dict.fromkeys(weights, "settings")
        for name, kind in COHORT.items():
            chosen = getattr(settings, name)
            if chosen is not None:
                self.cohort[name] = kind(**chosen.model_dump(exclude={"weight"}))
                weights[name] = chosen.weight
                self.versions[name] = "settings"
        self._features = 0
        self.names = list(weights)
        self.weights = np.array(list(weights.values()))
        for name, version in (versions or {}).items():
            self.swap(name, version["version"], version["settings"])

    @property
    def width(self) -> int:
        """Numbers that per-entity detectors keep for each entity and field."""
        return self.per_entity.numbers_per_feature if self.per_entity else 0

    def swap(self, name: str, version: str, settings: dict[str, Any]) -> None:
        """Put a cohort detector with other parameters in the place of the running one, taught with what that one saw last."""
        if name not in self.cohort:
            return
        old = self.cohort[name]
        new = type(old)(**settings)
        _, recent = old.recent()
        new.replay(0, recent)
        self.cohort[name] = new
        self.versions[name] = version

    @property
    def needed(self) -> int:
        """Trailing rows of features that the cohort detectors can be rebuilt from."""
        return max((d.learned - d.rebuilt_from for d in self.cohort.values()), default=0)

    def widen(self, features: int) -> None:
        """Make room for further features: trees are drawn anew and taught with what the old ones saw last."""
        if features == self._features:
            return
        self._features = features
        for name, old in self.cohort.items():
            first, recent = old.recent()
            if recent.shape[1] in (0, features):
                continue
            wide = np.full((len(recent), features), np.nan)
            wide[:, : recent.shape[1]] = recent
            new = type(old)(**old.settings())
            new.replay(first, wide)
            self.cohort[name] = new

    def detect(self, state: Floats, rows: Ints, X: Floats, features: Floats) -> Opinions:
        """Score and learn events in row order.

        Parameters
        ----------
        state : float64[entities, d, width]
            Of the per-entity detectors; changed in place.
        rows : int64[n]
        X : float64[n, d]
        features : float64[n, 3 d]
            Rows of NaN alone are no opinion, and not learned, by the cohort detectors.
        """
        n, d = X.shape
        magnitudes = np.full((n, len(self.names)), np.nan)
        contributions: list[Floats] = []
        expected = np.full((n, d), np.nan)
        if self.per_entity is not None:
            score, z, expected = self.per_entity.score_learn_entities(state, rows, X)
            known = ~np.isnan(z).all(axis=1)
            magnitudes[known, 0] = magnitude(score[known])
            contributions.append(z * z)
        usable = np.flatnonzero(~np.isnan(features).all(axis=1)) if d else np.empty(0, np.int64)
        for detector in self.cohort.values():
            weights = np.zeros((n, d))
            if len(usable):
                started = detector.learned
                score, per_feature = detector.score_learn_explain_many(features[usable])
                from_first = max(0, detector.window_size - started)
                magnitudes[usable[from_first:], len(contributions)] = magnitude(score[from_first:])
                weights[usable] = per_feature.reshape(len(usable), d, CHANNELS).sum(axis=2)
            contributions.append(weights)
        return Opinions(self.names, magnitudes, contributions, expected)
