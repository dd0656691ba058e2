"""How good detection is.

In: scored events, model scores, feedback.
Out: notices of quality and of models; requests to retrain.
"""
