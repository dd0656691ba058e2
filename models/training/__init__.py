"""What is trained, and on which data.

In: a history with entities.
Out: a fitted, calibrated and judged candidate.
"""

__all__ = [
    "candidate",
    "contamination",
]
