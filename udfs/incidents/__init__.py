"""Stage 5: tail probabilities to incidents.

In: the evidence of each event.
Out: incidents that open, change and end; their kind; which do not count, and why.
"""
