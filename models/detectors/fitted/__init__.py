"""Detectors that are trained once on a history and only score after.

In: a history to fit; then values.
Out: a magnitude for each event; arrays to save.
"""
