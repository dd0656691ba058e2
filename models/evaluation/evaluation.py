"""How good scores and alerts are, against labels."""

from __future__ import annotations

import numpy as np
from scipy import stats
from sklearn import metrics
from streamgauge.models.contract import Flags, Floats, Ints

BLOCK = 50  # rows that are drawn together, at least: anomalies come in runs, and no run is cut
LEAST_BLOCKS = 20  # a longer run is cut: where a fifth of all rows is labelled, there is hardly anything else
GAP = 10  # rows between two anomalous ones that belong to one run


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
    """Bootstrap intervals of the figures of `judge`, drawn in blocks.

    A block has at least 50 rows, and ends only where no run of labelled or flagged rows goes on: the rows of an incident are no
    independent evidence. The intervals are expanded for the number of blocks with a labelled row, as those of a mean are by Student's t.

    Parameters
    ----------
    labels : bool[n]
        The rows of one entity follow each other in time.
    scores : float64[n]
    flags : bool[n]
    confidence : float
    rounds : int
        Draws.
    seed : int

    Returns
    -------
    dict
        Low and high of each figure; NaN rounds are left out.

    Notes
    -----
    Hesterberg, What teachers should know about the bootstrap, The American Statistician 69, 2015 (expanded percentile interval). On
    simulated runs an interval of 95 % covers the true figure in 92 to 97 % of the cases (docs/benchmarks.md).
    """
    random = np.random.default_rng(seed)
    blocks = _blocks(labels | flags)
    drawn = []
    for _ in range(rounds):
        rows = np.concatenate([blocks[k] for k in random.integers(0, len(blocks), len(blocks))])
        drawn.append(judge(labels[rows], scores[rows], flags[rows]))
    m = max(2, sum(bool(labels[block].any()) for block in blocks))
    deviations = float(stats.t.isf((1 - confidence) / 2, m - 1)) * np.sqrt(m / (m - 1))
    tail = 100 * float(stats.norm.sf(deviations))
    tails = [tail, 100 - tail]
    found = {}
    for name in ("precision", "recall", "f1", "mcc", "kappa", "roc_auc", "pr_auc"):
        values = np.array([one[name] for one in drawn])
        values = values[~np.isnan(values)]
        low, high = np.percentile(values, tails).tolist() if len(values) else (float("nan"), float("nan"))
        found[name] = (low, high)
    return found


def _blocks(busy: Flags) -> list[Ints]:
    """Rows cut into blocks of at least `BLOCK` that cut no run of busy rows; gaps of at most `GAP` rows belong to a run."""
    on = np.flatnonzero(busy)
    inside = np.zeros(len(busy) + 1, np.int64)  # above 0 at a row if it and the row before belong to one run
    near = np.flatnonzero(np.diff(on) <= GAP)
    np.add.at(inside, on[near] + 1, 1)
    np.add.at(inside, on[near + 1] + 1, -1)
    ends = np.flatnonzero(np.cumsum(inside) == 0)
    cuts, last = [], 0
    while last + BLOCK < len(busy):
        last = min(int(ends[np.searchsorted(ends, last + BLOCK)]), last + max(BLOCK, len(busy) // LEAST_BLOCKS))
        if last < len(busy):
            cuts.append(last)
    return np.split(np.arange(len(busy)), cuts)
