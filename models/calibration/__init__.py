"""Scores to tail probabilities, and thresholds.

In: magnitudes of a detector, in order.
Out: the probability of a magnitude at least as large; where to draw the line.
"""
