"""Kafka's topics, and all code that reads or writes them outside Flink.

In: broker addresses and topic names.
Out: clients, records, sent messages.
"""
