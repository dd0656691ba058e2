"""Raw scores to tail probabilities, and thresholds.

In: raw scores of a detector, in order.
Out: evidence: minus the logarithm of the probability of a raw score at least as large; thresholds.
"""

__all__ = [
    "calibration",
    "learned_tail",
    "pooled_tail",
    "shares",
    "thresholds",
]
