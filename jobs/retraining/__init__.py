"""Rules of the trainer: when it may train again, and which candidate is good enough; and its metrics.

In: notices, trained versions, validation data.
Out: a waiting time, the reason of a rejection, metrics.
"""
