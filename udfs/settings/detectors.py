"""Settings of the detectors: which run, on which kinds of streams, with which parameters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator
from streamgauge.udfs.settings.base import Positive, Section, StreamKind

LONGEST_HALF_LIFE = 1e12  # values; from 1e16 on, the weight of one value would round to 0
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


class DetectorSection(Section):
    """What all detectors have in common: a weight, and the kinds of streams on which they run."""

    weight: float = Field(1.0, gt=0, description="Weight in the ensemble.")
    streams: tuple[StreamKind, ...] = Field(
        ("series", "fields", "records"), description="Kinds of streams it runs on.", min_length=1
    )


class ChannelSection(Section):
    """What detectors with channels have in common. Their channels are joined field by field and have no weights."""

    streams: tuple[StreamKind, ...] = Field(
        ("series", "fields", "records"), description="Kinds of streams it runs on.", min_length=1
    )
    half_life: float = Field(
        20_000.0, ge=100, le=LONGEST_HALF_LIFE, description="Values after which a value counts half."
    )


class LevelsSettings(ChannelSection):
    """Level, change, departure from the last values, and mean of the last values, per entity and field."""


class DayProfileSettings(ChannelSection):
    """What the time of day does not explain, per entity and field; rich tier."""

    memory: float = Field(50.0, ge=1, description="Visits of a quarter of an hour after which old ones count less.")


class LastingMeanSettings(ChannelSection):
    """Mean of many values, per entity and field, where there are several; rich tier."""


class RelationsSettings(Section):
    """Each field given all other fields, now and over the last events; for the cohort."""

    streams: tuple[StreamKind, ...] = Field(
        ("fields", "records"), description="Kinds of streams it runs on.", min_length=1
    )
    ridge: float = Field(0.1, gt=0, description="Added to the diagonal of the correlation matrix.")
    memory: float = Field(5e4, ge=1000, description="Events that what is usual looks back on, at most.")
    warmup: int = Field(128, ge=128, description="Events to learn before anything is scored.")


class RunsSettings(ChannelSection):
    """What only many values in a row show: a shift, a flat line, another spread, a missing beat, a rising floor; rich tier."""


class RollingZScoreSettings(DetectorSection):
    """Rolling z-score, per entity and field."""

    memory: Literal["exponential", "window"] = "exponential"
    half_life: float = Field(200.0, ge=1, le=LONGEST_HALF_LIFE)
    window: int = Field(50, ge=2, le=10_000)
    warmup: Positive = 20


class ValueNoveltySettings(DetectorSection):
    """One-shot value novelty with seasonal profiles, per entity and field; rich tier."""

    centroids: int = Field(64, ge=8, le=1024)
    refractory: float = Field(
        0.1, ge=0, le=1, description="Share of the past in which a higher novelty silences a lower one."
    )
    warmup: Positive = 20


class HalfSpaceTreesSettings(DetectorSection):
    """Half-space trees over the cohort's normalised features."""

    n_trees: int = Field(10, ge=1, le=1000)
    height: int = Field(8, ge=1, le=20)
    window_size: int = Field(1000, ge=10, le=100_000)
    seed: Seed = 42


class LinearResidualsSettings(DetectorSection):
    """One running covariance of all fields, for the cohort."""

    ridge: float = Field(0.1, gt=0)
    gain: float = Field(1e-4, gt=0, lt=1, description="Smallest weight of a new event.")
    warmup: int = Field(128, ge=64)


class LodaSettings(DetectorSection):
    """Histograms of random projections, for the cohort."""

    projections: int = Field(50, ge=2, le=1000)
    memory: int = Field(20_000, ge=100)
    warmup: int = Field(128, ge=10)
    seed: Seed = 42


class HistogramDensitySettings(DetectorSection):
    """A histogram of each field, for the cohort."""

    memory: int = Field(20_000, ge=100)
    warmup: int = Field(128, ge=10)


class ExtremeValueSettings(DetectorSection):
    """One field far beyond its usual extremes, for the cohort; it can raise incidents by itself, and is not part of the score."""

    memory: int = Field(20_000, ge=100)
    warmup: int = Field(128, ge=10)


class OnlineIsolationForestSettings(DetectorSection):
    """Isolation trees over a sample of the stream, for the cohort."""

    n_trees: int = Field(32, ge=1, le=1000)
    part: int = Field(128, ge=8, le=4096)
    reservoir: int = Field(1024, ge=16, le=100_000)
    renew: int = Field(64, ge=1)
    memory: int = Field(50_000, ge=100)
    seed: Seed = 42


class EmpiricalTailSettings(DetectorSection):
    """Empirical tails of each field, for the cohort."""

    memory: int = Field(20_000, ge=100)
    warmup: int = Field(128, ge=10)


class WindowSettings(DetectorSection):
    """A value against the last values of its entity and field."""

    window: int = Field(50, ge=5, le=10_000)
    warmup: Positive = 20


class InterquartileRangeSettings(WindowSettings):
    """Interquartile range, over the last values of each entity and field."""

    low: float = Field(0.25, gt=0, lt=0.5)
    high: float = Field(0.75, gt=0.5, lt=1)


class DixonQSettings(DetectorSection):
    """Dixon's Q, over the last values of each entity and field."""

    window: int = Field(20, ge=2, le=29)
    warmup: Positive = 10


class FlatLineSettings(DetectorSection):
    """Runs of equal values, per entity and field."""

    usual: Positive = 5
    warmup: Positive = 20


class TwoSpansSettings(DetectorSection):
    """A short past against a long one, per entity and field."""

    short: float = Field(20.0, ge=2)
    long: float = Field(400.0, ge=10)
    warmup: Positive = 60


class ForecastResidualSettings(DetectorSection):
    """Autoregression learned as it goes, per entity and field; rich tier."""

    lags: int = Field(4, ge=1, le=32)
    forget: float = Field(0.998, gt=0.9, lt=1)
    warmup: Positive = 50


class SeasonalProfileSettings(DetectorSection):
    """Hour of the week, per entity and field; rich tier."""

    memory: float = Field(50.0, ge=1)
    visits: Positive = 8
    warmup: Positive = 50


class CusumSettings(DetectorSection):
    """Runs of small deviations, per entity and field; rich tier."""

    allowance: float = Field(0.35, gt=0, description="Deviations that do not add to the sum.")
    settle: int = Field(200, ge=10, description="Values after which a shift is the new level.")
    memory: int = Field(5000, ge=100)
    warmup: Positive = 100


class SlowDriftSettings(DetectorSection):
    """A slow mean against the whole past, per entity and field; rich tier."""

    span: int = Field(300, ge=5)
    memory: int = Field(10_000, ge=100)
    warmup: Positive = 1200


class PeerDeviationSettings(DetectorSection):
    """Entities against their peers, per field; rich tier."""

    short: float = Field(5.0, ge=1)
    memory: int = Field(2000, ge=100)
    warmup: Positive = 100


class ShapeDictionarySettings(DetectorSection):
    """Shapes of the last values, per entity and field; rich tier."""

    samples: int = Field(32, ge=4, le=1024)
    shapes: int = Field(64, ge=2, le=4096)
    near: float = Field(0.1, ge=0)
    stride: Positive = 4
    warmup: Positive = 100


class OnlineGaussianMixtureSettings(DetectorSection):
    """A mixture of a few normal distributions, for the cohort."""

    components: int = Field(4, ge=1, le=64)
    gain: float = Field(0.002, gt=0, lt=1)
    warmup: int = Field(128, ge=10)


class FirstSeenCategorySettings(DetectorSection):
    """New values of text fields, for each entity."""

    bits: int = Field(
        1 << 20, ge=1 << 10, le=1 << 30, description="A power of two; a million holds 170,000 categories."
    )
    memory: int = Field(10_000, ge=100)
    warmup: int = Field(50, ge=10)

    @field_validator("bits")
    @classmethod
    def _power_of_two(cls, bits: int) -> int:
        if bits & (bits - 1):
            raise ValueError("must be a power of two, such as 1048576")
        return bits


class DetectorSettings(Section):
    """Which detectors run. A detector that is set to null does not run; one that is left out has its default.

    By default, each kind of stream has its own detectors: one series, several fields in order, records without order.
    """

    levels: LevelsSettings | None = LevelsSettings(streams=("series", "fields", "records"))
    day_profile: DayProfileSettings | None = DayProfileSettings(streams=("series", "fields"))
    lasting_mean: LastingMeanSettings | None = LastingMeanSettings(streams=("fields",))
    relations: RelationsSettings | None = RelationsSettings()
    runs: RunsSettings | None = RunsSettings(streams=("series",))
    rolling_z_score: RollingZScoreSettings | None = None
    value_novelty: ValueNoveltySettings | None = ValueNoveltySettings(streams=("series",))
    half_space_trees: HalfSpaceTreesSettings | None = None
    river_half_space_trees: HalfSpaceTreesSettings | None = Field(
        None,
        description="River's own, the reference. It is slow: an event takes about 10 us a tree at height 8, and twice as long or more "
        "with two more levels. So 1,000 trees take 10 ms an event.",
    )
    histogram_density: HistogramDensitySettings | None = HistogramDensitySettings(weight=2.0, streams=("records",))
    loda: LodaSettings | None = LodaSettings(streams=("records",))
    online_isolation_forest: OnlineIsolationForestSettings | None = OnlineIsolationForestSettings(streams=("records",))
    extreme_value: ExtremeValueSettings | None = ExtremeValueSettings(streams=("records",))
    empirical_tail: EmpiricalTailSettings | None = None
    online_gaussian_mixture: OnlineGaussianMixtureSettings | None = None
    mahalanobis: LinearResidualsSettings | None = Field(
        None, description="Mahalanobis distance: how far an event is from the centre of all events."
    )
    vector_autoregression: LinearResidualsSettings | None = Field(
        None, description="What the event before does not predict of each field."
    )
    conditional_residual: LinearResidualsSettings | None = Field(
        None, description="What the other fields do not explain of each field."
    )
    modified_z_score: WindowSettings | None = Field(
        None, description="Distance from their median, in median absolute deviations."
    )
    interquartile_range: InterquartileRangeSettings | None = None
    grubbs: WindowSettings | None = Field(None, description="Grubbs' test for one outlier.")
    dixon_q: DixonQSettings | None = None
    flat_line: FlatLineSettings | None = FlatLineSettings(streams=("fields",))
    level_shift: TwoSpansSettings | None = Field(None, description="Means are compared.")
    spread_change: TwoSpansSettings | None = Field(None, description="Variances are compared.")
    forecast_residual: ForecastResidualSettings | None = None
    seasonal_profile: SeasonalProfileSettings | None = None
    cusum: CusumSettings | None = None
    slow_drift: SlowDriftSettings | None = None
    peer_deviation: PeerDeviationSettings | None = PeerDeviationSettings(streams=("series", "fields"))
    shape_dictionary: ShapeDictionarySettings | None = None
    first_seen_category: FirstSeenCategorySettings | None = None
