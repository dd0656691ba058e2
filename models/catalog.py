"""The detectors by name."""

from __future__ import annotations

from streamgauge.models.cohort_detector import CohortDetector
from streamgauge.models.detectors.autoencoder import Autoencoder
from streamgauge.models.detectors.conditional_residual import ConditionalResidual
from streamgauge.models.detectors.cusum import Cusum
from streamgauge.models.detectors.dixon_q import DixonQ
from streamgauge.models.detectors.empirical_tail import EmpiricalTail
from streamgauge.models.detectors.extreme_value import ExtremeValue
from streamgauge.models.detectors.first_seen_category import FirstSeenCategory
from streamgauge.models.detectors.flat_line import FlatLine
from streamgauge.models.detectors.forecast_residual import ForecastResidual
from streamgauge.models.detectors.gan import Gan
from streamgauge.models.detectors.gaussian_mixture import GaussianMixture
from streamgauge.models.detectors.grubbs import Grubbs
from streamgauge.models.detectors.half_space_trees import HalfSpaceTrees
from streamgauge.models.detectors.histogram_density import HistogramDensity
from streamgauge.models.detectors.interquartile_range import InterquartileRange
from streamgauge.models.detectors.isolation_forest import IsolationForest
from streamgauge.models.detectors.level_shift import LevelShift
from streamgauge.models.detectors.local_outlier_factor import LocalOutlierFactor
from streamgauge.models.detectors.loda import Loda
from streamgauge.models.detectors.lstm_autoencoder import LstmAutoencoder
from streamgauge.models.detectors.mahalanobis import Mahalanobis
from streamgauge.models.detectors.masked_transformer import MaskedTransformer
from streamgauge.models.detectors.modified_z_score import ModifiedZScore
from streamgauge.models.detectors.one_class_svm import OneClassSvm
from streamgauge.models.detectors.online_gaussian_mixture import OnlineGaussianMixture
from streamgauge.models.detectors.online_isolation_forest import OnlineIsolationForest
from streamgauge.models.detectors.peer_deviation import PeerDeviation
from streamgauge.models.detectors.river_half_space_trees import RiverHalfSpaceTrees
from streamgauge.models.detectors.rolling_z_score import RollingZScore
from streamgauge.models.detectors.seasonal_profile import SeasonalProfile
from streamgauge.models.detectors.shape_dictionary import ShapeDictionary
from streamgauge.models.detectors.slow_drift import SlowDrift
from streamgauge.models.detectors.spread_change import SpreadChange
from streamgauge.models.detectors.temporal_cnn import TemporalCnn
from streamgauge.models.detectors.value_novelty import ValueNovelty
from streamgauge.models.detectors.variational_autoencoder import VariationalAutoencoder
from streamgauge.models.detectors.vector_autoregression import VectorAutoregression
from streamgauge.models.entity_detector import EntityDetector
from streamgauge.models.fitted_detector import FittedDetector

ENTITY: dict[str, type[EntityDetector]] = {
    detector.name: detector
    for detector in (
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
        Gan,
        LstmAutoencoder,
        TemporalCnn,
        MaskedTransformer,
    )
}
ONLINE: dict[str, type[EntityDetector] | type[CohortDetector]] = {**ENTITY, **COHORT}
CATALOG: dict[str, type[EntityDetector] | type[CohortDetector] | type[FittedDetector]] = {**ONLINE, **FITTED}
