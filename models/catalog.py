"""The detectors by name."""

from __future__ import annotations

from streamgauge.models.contract import Detector
from streamgauge.models.detectors.half_space_trees import HalfSpaceTrees
from streamgauge.models.detectors.river_half_space_trees import RiverHalfSpaceTrees
from streamgauge.models.detectors.rolling_z_score import RollingZScore
from streamgauge.models.windowed_forest import WindowedForest

CATALOG: dict[str, type[Detector]] = {
    detector.name: detector for detector in (RollingZScore, HalfSpaceTrees, RiverHalfSpaceTrees)
}
COHORT: dict[str, type[WindowedForest]] = {
    detector.name: detector for detector in (HalfSpaceTrees, RiverHalfSpaceTrees)
}
