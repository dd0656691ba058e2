"""Detectors that look at each field of an entity through channels: evidence of one kind of anomaly each.

In: values, times and the state of entities. Out: evidence by field and channel, and the expected value.
"""
