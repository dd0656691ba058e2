"""The only room that knows PyFlink: the operators of the job.

In: batches of Kafka records, control messages and feedback, as Flink passes them.
Out: alerts and side outputs, as Flink rows; state in Flink's keyed state.
"""
