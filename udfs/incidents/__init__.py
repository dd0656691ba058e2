"""Stage 5: tail probabilities to incidents.

In: the evidence of each event.
Out: incidents that open, change and end; their kind; the events that are suppressed, and why.
"""
