"""Stage 4: values to tail probabilities.

In: the matrix of values, and the state of the events' entities.
Out: the evidence of each member and of the ensemble, and each field's share in it.
"""
