"""Another engine: the same pipeline in Spark Structured Streaming. It needs pyspark, in an environment without apache-flink.

In: settings; the topic of events, as Spark's Kafka source reads it; state in Spark's state store.
Out: alerts, scores, dead letters, late events and notices on their topics.
"""
