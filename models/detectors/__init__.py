"""The algorithms, in rooms by what they look at.

In: arrays of values, an event a row.
Out: a magnitude for each event, and each field's part in it.
"""
