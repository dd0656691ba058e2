"""Every detector of the catalogue passes every check."""

from __future__ import annotations

import pytest
from streamgauge.models.catalog import ONLINE
from streamgauge.models.detectors.channel.day_profile import DayProfile
from streamgauge.models.detectors.channel.lasting_mean import LastingMean
from streamgauge.models.detectors.channel.levels import Levels
from streamgauge.models.detectors.channel.runs import Runs
from streamgauge.models.detectors.cohort.conditional_residual import ConditionalResidual
from streamgauge.models.detectors.cohort.empirical_tail import EmpiricalTail
from streamgauge.models.detectors.cohort.extreme_value import ExtremeValue
from streamgauge.models.detectors.cohort.first_seen_category import FirstSeenCategory
from streamgauge.models.detectors.cohort.half_space_trees import HalfSpaceTrees
from streamgauge.models.detectors.cohort.histogram_density import HistogramDensity
from streamgauge.models.detectors.cohort.loda import Loda
from streamgauge.models.detectors.cohort.mahalanobis import Mahalanobis
from streamgauge.models.detectors.cohort.online_gaussian_mixture import OnlineGaussianMixture
from streamgauge.models.detectors.cohort.online_isolation_forest import OnlineIsolationForest
from streamgauge.models.detectors.cohort.relations import Relations
from streamgauge.models.detectors.cohort.river_half_space_trees import RiverHalfSpaceTrees
from streamgauge.models.detectors.cohort.vector_autoregression import VectorAutoregression
from streamgauge.models.detectors.entity.cusum import Cusum
from streamgauge.models.detectors.entity.dixon_q import DixonQ
from streamgauge.models.detectors.entity.flat_line import FlatLine
from streamgauge.models.detectors.entity.forecast_residual import ForecastResidual
from streamgauge.models.detectors.entity.grubbs import Grubbs
from streamgauge.models.detectors.entity.interquartile_range import InterquartileRange
from streamgauge.models.detectors.entity.level_shift import LevelShift
from streamgauge.models.detectors.entity.modified_z_score import ModifiedZScore
from streamgauge.models.detectors.entity.peer_deviation import PeerDeviation
from streamgauge.models.detectors.entity.rolling_z_score import RollingZScore
from streamgauge.models.detectors.entity.seasonal_profile import SeasonalProfile
from streamgauge.models.detectors.entity.shape_dictionary import ShapeDictionary
from streamgauge.models.detectors.entity.slow_drift import SlowDrift
from streamgauge.models.detectors.entity.spread_change import SpreadChange
from streamgauge.models.detectors.entity.value_novelty import ValueNovelty

from tests.checks.detector import CHECKS, EXEMPT

pytestmark = pytest.mark.slow

MAKERS = {
    "levels": Levels,
    "day_profile": DayProfile,
    "lasting_mean": LastingMean,
    "runs": Runs,
    "relations": Relations,
    "modified_z_score": lambda: ModifiedZScore(window=60, warmup=10),
    "interquartile_range": lambda: InterquartileRange(window=60, warmup=10),
    "grubbs": lambda: Grubbs(window=60, warmup=10),
    "dixon_q": lambda: DixonQ(window=25, warmup=10),
    "first_seen_category": lambda: FirstSeenCategory(bits=1 << 14),
    "flat_line": FlatLine,
    "level_shift": lambda: LevelShift(short=5, long=100, warmup=20),
    "spread_change": lambda: SpreadChange(short=5, long=100, warmup=20),
    "forecast_residual": lambda: ForecastResidual(warmup=20),
    "seasonal_profile": lambda: SeasonalProfile(warmup=20),
    "cusum": lambda: Cusum(warmup=20),
    "slow_drift": lambda: SlowDrift(span=10, memory=500, warmup=60),
    "peer_deviation": lambda: PeerDeviation(warmup=20),
    "shape_dictionary": lambda: ShapeDictionary(samples=8, shapes=16, stride=1, warmup=20),
    "online_gaussian_mixture": lambda: OnlineGaussianMixture(warmup=64),
    "mahalanobis": lambda: Mahalanobis(warmup=64),
    "loda": lambda: Loda(warmup=64),
    "extreme_value": lambda: ExtremeValue(warmup=64),
    "histogram_density": lambda: HistogramDensity(warmup=64),
    "online_isolation_forest": lambda: OnlineIsolationForest(part=64, reservoir=256, renew=16),
    "empirical_tail": lambda: EmpiricalTail(warmup=64),
    "vector_autoregression": lambda: VectorAutoregression(warmup=128),
    "conditional_residual": lambda: ConditionalResidual(warmup=128),
    "value_novelty": lambda: ValueNovelty(warmup=10),
    "rolling_z_score": lambda: RollingZScore(half_life=50, warmup=10),
    "rolling_z_score windowed": lambda: RollingZScore("window", window=60, warmup=10),
    "half_space_trees": lambda: HalfSpaceTrees(10, 6, 60, 1),
    "river_half_space_trees": lambda: RiverHalfSpaceTrees(10, 6, 60, 1),
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", MAKERS)
def test_check(name, check):
    reason = EXEMPT.get(name.split()[0], {}).get(check)
    if reason:
        pytest.skip(reason)
    CHECKS[check](MAKERS[name])


def test_every_detector_is_checked_and_every_exemption_is_of_one():
    assert {name.split()[0] for name in MAKERS} == set(ONLINE)
    assert set(EXEMPT) <= set(ONLINE)
    assert {check for checks in EXEMPT.values() for check in checks} <= set(CHECKS)
