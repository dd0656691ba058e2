"""The detectors by name."""

from __future__ import annotations

from streamgauge.models.detectors.channel.day_profile import DayProfile
from streamgauge.models.detectors.channel.lasting_mean import LastingMean
from streamgauge.models.detectors.channel.levels import Levels
from streamgauge.models.detectors.channel.runs import Runs
from streamgauge.models.detectors.cohort.cohort_detector import CohortDetector
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
from streamgauge.models.detectors.entity.entity_detector import EntityDetector
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
from streamgauge.models.detectors.fitted.fitted_detector import FittedDetector
from streamgauge.models.detectors.fitted.gaussian_mixture import GaussianMixture
from streamgauge.models.detectors.fitted.isolation_forest import IsolationForest
from streamgauge.models.detectors.fitted.local_outlier_factor import LocalOutlierFactor
from streamgauge.models.detectors.fitted.one_class_svm import OneClassSvm
from streamgauge.models.detectors.network.autoencoder import Autoencoder
from streamgauge.models.detectors.network.imported_network import ImportedNetwork
from streamgauge.models.detectors.network.variational_autoencoder import VariationalAutoencoder
from streamgauge.models.detectors.sequence.masked_transformer import MaskedTransformer
from streamgauge.models.detectors.sequence.temporal_cnn import TemporalCnn

ENTITY: dict[str, type[EntityDetector]] = {
    detector.name: detector
    for detector in (
        Levels,
        DayProfile,
        LastingMean,
        Runs,
        RollingZScore,
        ModifiedZScore,
        InterquartileRange,
        Grubbs,
        DixonQ,
        FlatLine,
        LevelShift,
        SpreadChange,
        ForecastResidual,
        SeasonalProfile,
        PeerDeviation,
        Cusum,
        SlowDrift,
        ShapeDictionary,
        ValueNovelty,
    )
}
COHORT: dict[str, type[CohortDetector]] = {
    detector.name: detector
    for detector in (
        HalfSpaceTrees,
        RiverHalfSpaceTrees,
        Mahalanobis,
        Loda,
        HistogramDensity,
        OnlineIsolationForest,
        ExtremeValue,
        EmpiricalTail,
        OnlineGaussianMixture,
        VectorAutoregression,
        ConditionalResidual,
        Relations,
        FirstSeenCategory,
    )
}
FITTED: dict[str, type[FittedDetector]] = {
    detector.name: detector
    for detector in (
        IsolationForest,
        OneClassSvm,
        LocalOutlierFactor,
        GaussianMixture,
        Autoencoder,
        VariationalAutoencoder,
        TemporalCnn,
        MaskedTransformer,
    )
}
# Detectors whose versions come from elsewhere: they are loaded as trained ones, but nothing trains them here.
IMPORTED: dict[str, type[FittedDetector]] = {ImportedNetwork.name: ImportedNetwork}
LOADED = {**FITTED, **IMPORTED}
# Trained detectors of earlier releases, and what to train instead. A registry may still hold such versions.
REMOVED: dict[str, str] = {"gan": "gaussian_mixture or autoencoder", "lstm_autoencoder": "temporal_cnn"}
ONLINE: dict[str, type[EntityDetector] | type[CohortDetector]] = {**ENTITY, **COHORT}
CATALOG: dict[str, type[EntityDetector] | type[CohortDetector] | type[FittedDetector]] = {**ONLINE, **LOADED}


def why_unknown(detector: str) -> str:
    """Why a detector is not in `FITTED`, and what to do: the end of a sentence."""
    if detector in IMPORTED:
        return "which is not trained here: train it where it was made, and import it (`streamgauge models import`)"
    if detector in REMOVED:
        return f"which was removed (docs/adr/017): train {REMOVED[detector]} instead"
    return "which this code does not know: upgrade Streamgauge"
