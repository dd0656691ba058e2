"""Stage 6: incidents to bytes.

In: incidents, dead letters, late events, scores.
Out: records of JSON with their keys, none larger than Kafka takes.
"""
