"""What the trainer's process decides by: when it may train again, which candidate is good enough, and what it counts.

In: notices, trained versions, validation data.
Out: how long to wait, the reason of a rejection, metrics.
"""
