"""Channels: what a single field is looked at for, each with a calibrated tail probability.

In: state, rows of entities, values and times in order.
Out: evidence of each event, field and channel, the expected value, and the deviation from it.
"""

__all__ = [
    "beat",
    "calendar",
    "day_profile",
    "deviation_sum",
    "equal_runs",
    "excursion",
    "field_channels",
    "last_values",
    "lasting_mean",
    "levels",
    "repeats",
    "runs",
    "usual_level",
]
