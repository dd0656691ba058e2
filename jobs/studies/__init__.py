"""Work on stored data: backtests, benchmarks, evaluation, explanation, training, reports, and the demo.

In: files, or offsets of topics.
Out: figures, pages, trained models.
"""
