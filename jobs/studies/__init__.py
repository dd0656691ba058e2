"""Work on data at rest: backtests, benchmarks, evaluation, explanation, training.

In: files, or offsets of topics.
Out: figures, pages, trained models.
"""
