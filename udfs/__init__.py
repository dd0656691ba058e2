"""What happens to a batch of records, one room a stage, in the order of the data: events, entities, windows, scoring, incidents, output.

In: records of Kafka, control messages, feedback.
Out: alerts, notices, scores, dead letters, late events, requests to retrain; changes of the state.
"""
