"""Stage 1: bytes to events.

In: the payloads of a batch.
Out: events with entity, time and a matrix of their numeric fields; dead letters for what cannot be read.
"""
