"""Stage 6: incidents to bytes.

In: incidents, dead letters, late events, scores.
Out: keyed JSON records, none larger than Kafka takes.
"""
