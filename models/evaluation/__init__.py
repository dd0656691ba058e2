"""How good scores and alerts are, and why an event scored as it did.

In: scores with labels; models with events.
Out: figures; shares of fields; distances between data sets.
"""
