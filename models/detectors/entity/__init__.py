"""Detectors of single fields of single entities: a few numbers of state each, updated by one kernel.

In: state, rows of entities, values in order.
Out: raw score, deviation and expected value of each event.
"""

__all__ = [
    "cusum",
    "dixon_q",
    "entity_detector",
    "flat_line",
    "forecast_residual",
    "grubbs",
    "interquartile_range",
    "level_shift",
    "modified_z_score",
    "peer_deviation",
    "rolling_z_score",
    "seasonal_profile",
    "shape_dictionary",
    "sliding_window",
    "slow_drift",
    "spread_change",
    "two_spans",
    "value_novelty",
]
