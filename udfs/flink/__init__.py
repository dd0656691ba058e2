"""The only room that knows PyFlink: the operators of the job.

In: batches of Kafka records and control messages, as Flink hands them over.
Out: alerts and side outputs, as Flink rows; state in Flink's keyed state.
"""
