"""How several detectors become one.

In: the evidence of each member.
Out: one evidence, disagreement and an interval.
"""
