"""How good scores and alerts are, against labels."""

from __future__ import annotations

import numpy as np
from sklearn import metrics
from streamgauge.models.contract import Flags, Floats

BLOCK = 50  # rows that are drawn together: anomalies come in runs


def judge(labels: Flags, scores: Floats, flags: Flags, missed: float = 10.0, false: float = 1.0) -> dict[str, float]:
    """All figures of one set of scores and alerts.

    Point-adjusted F1 is not among them: random scores reach .9 with it.

    Parameters
    ----------
    labels : bool[n]
    scores : float64[n]
    flags : bool[n]
        Rows that are anomalous by the threshold.
    missed, false : float
        Cost of an anomaly without an alert, and of an alert without an anomaly.

    Returns
    -------
    dict
        ``roc_auc`` and ``pr_auc`` are NaN where all labels are alike.
    """
    tn, fp, fn, tp = metrics.confusion_matrix(labels, flags, labels=[False, True]).ravel().tolist()
    both = 0 < labels.sum() < len(labels)
    return {
        "precision": tp / max(1, tp + fp),
        "recall": tp / max(1, tp + fn),
        "f1": 2 * tp / max(1, 2 * tp + fp + fn),
        "mcc": float(metrics.matthews_corrcoef(labels, flags)) if both else float("nan"),
        "kappa": float(metrics.cohen_kappa_score(labels, flags)) if both else float("nan"),
        "roc_auc": float(metrics.roc_auc_score(labels, scores)) if both else float("nan"),
        "pr_auc": float(metrics.average_precision_score(labels, scores)) if both else float("nan"),
        "cost": missed * fn + false * fp,
        "true_positives": float(tp),
        "false_positives": float(fp),
        "false_negatives": float(fn),
        "true_negatives": float(tn),
    }


def intervals(
    labels: Flags, scores: Floats, flags: Flags, confidence: float = 0.95, rounds: int = 200, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Bootstrap intervals of the figures of `judge`, drawn in blocks of 50 rows.

    Returns
    -------
    dict
        Low and high of each figure; NaN rounds are left out.
    """
    random = np.random.default_rng(seed)
    blocks = np.array_split(np.arange(len(labels)), max(1, len(labels) // BLOCK))
    drawn = []
    for _ in range(rounds):
        rows = np.concatenate([blocks[k] for k in random.integers(0, len(blocks), len(blocks))])
        drawn.append(judge(labels[rows], scores[rows], flags[rows]))
    tails = [50 * (1 - confidence), 50 * (1 + confidence)]
    found = {}
    for name in ("precision", "recall", "f1", "mcc", "kappa", "roc_auc", "pr_auc"):
        values = np.array([one[name] for one in drawn])
        values = values[~np.isnan(values)]
        low, high = np.percentile(values, tails).tolist() if len(values) else (float("nan"), float("nan"))
        found[name] = (low, high)
    return found
