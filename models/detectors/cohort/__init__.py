"""Detectors of a cohort: one model over the normalised values of all entities of a partition.

In: columns of numbers, a row an event.
Out: a raw score for each event, and weights of its fields.
"""

__all__ = [
    "cohort_detector",
    "cohort_level",
    "conditional_residual",
    "empirical_tail",
    "extreme_value",
    "first_seen_category",
    "half_space_trees",
    "histogram_density",
    "linear_residuals",
    "loda",
    "mahalanobis",
    "online_gaussian_mixture",
    "online_isolation_forest",
    "relation_kernels",
    "relations",
    "river_half_space_trees",
    "robust_cohort",
    "scored_cohort",
    "vector_autoregression",
    "windowed_forest",
]
