"""State and models as bytes, and the registry that keeps them. No pickle.

In: arrays and plain values.
Out: versioned bytes; signed model folders.
"""
