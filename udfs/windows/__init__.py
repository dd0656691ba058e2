"""Stage 3: aggregates over windows of event time.

In: events with their times.
Out: one row of aggregates for each entity and window that has ended.
"""
