"""Stage 4: values to tail probabilities.

In: the matrix of values, and the state of the events' entities.
Out: the evidence of each detector and of all together, and each field's share in it.
"""
