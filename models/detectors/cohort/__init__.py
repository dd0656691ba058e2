"""Detectors of all entities together: one model over their normalised values.

In: features in [0, 1], an event a row.
Out: a magnitude for each event, and weights of fields.
"""
