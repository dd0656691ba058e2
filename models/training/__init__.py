"""What is trained, on which data.

In: a history with entities.
Out: a fitted, calibrated and judged candidate.
"""
