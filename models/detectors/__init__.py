"""The algorithms, in rooms by what they look at.

In: arrays of values, a row an event.
Out: a raw score for each event, and the part of each field in it.
"""

__all__ = [
    "channel",
    "cohort",
    "deviation",
    "entity",
    "fitted",
    "network",
    "sequence",
]
