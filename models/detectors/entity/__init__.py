"""Detectors of one field of one entity: a few numbers of state each, walked by one kernel.

In: state, rows of entities, values in order.
Out: magnitude, distance and expected value of each event.
"""
