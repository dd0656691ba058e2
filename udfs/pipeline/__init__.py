"""How the stages are composed: a shard has partitions, a partition takes a batch through all stages.

In: a `RawBatch` of Kafka records, control messages, feedback.
Out: a `BatchResult`: every record to write, every change of the saved state.
"""
