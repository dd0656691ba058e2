"""How good the detection is, and whether a trained model has to be trained again.

In: scored events, model scores, feedback.
Out: notices about quality and about models; requests to retrain.
"""
