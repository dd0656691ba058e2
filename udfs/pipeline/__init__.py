"""How the stages work together: a shard has partitions, and a partition takes a batch through all stages.

In: a `RawBatch` of Kafka records; control messages; feedback.
Out: a `BatchResult` with every record to write and every change of the saved state.
"""
