"""Detectors that are trained once on a history and only score afterwards.

In: a history to fit; then values.
Out: a raw score for each event; arrays to save.
"""

__all__ = [
    "fitted_detector",
    "gaussian_mixture",
    "isolation_forest",
    "local_outlier_factor",
    "normalisation",
    "one_class_svm",
    "ranges",
    "sklearn_fits",
    "synthetic_anomalies",
]
