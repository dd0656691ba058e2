"""HTML pages and their plots.

In: figures and series.
Out: one self-contained HTML page.
"""
