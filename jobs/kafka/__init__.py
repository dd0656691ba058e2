"""Topics, and everything that reads or writes them outside Flink.

In: broker addresses and topic names.
Out: clients, records, messages sent.
"""
