"""Neural networks over the last events of an entity.

In: windows of values: events, steps, fields.
Out: a reconstruction or prediction error for each event.
"""
