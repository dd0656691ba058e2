"""How good scores and alerts are, and why an event was scored as it was.

In: scores with labels; models with events.
Out: figures; shares of fields; how far data have moved.
"""

__all__ = [
    "baselines",
    "drift",
    "evaluation",
    "explanation",
    "nab_score",
    "tree_shap",
]
