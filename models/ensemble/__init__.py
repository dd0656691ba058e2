"""How several members become one.

In: the evidence of each member.
Out: one evidence, how far the members disagree, and an interval.
"""

__all__ = [
    "ensemble",
    "weights",
]
