"""Stage 3: aggregates over windows of event time.

In: events with their times.
Out: one row for each entity and window that has ended.
"""
