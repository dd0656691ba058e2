"""Members of the ensemble are weighed by what they say, not by what they do not look at."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score
from streamgauge.jobs.studies.backtest import Backtest
from streamgauge.jobs.studies.evaluate import evaluate
from streamgauge.jobs.studies.weigh import WARM, weigh

ROWS = 400


def result_of(evidence, labels):
    """A result whose first rows, which do not count, are without an opinion."""
    n = WARM + ROWS
    members, told = np.full((n, evidence.shape[1]), np.nan), np.zeros(n)
    members[WARM:], told[WARM:] = evidence, labels
    flags, scores = told.astype(np.int64), np.arange(n) / n
    names = [f"m{k}" for k in range(evidence.shape[1])]
    return Backtest(["a"] * n, scores, flags, told, names, members, times=1000 * np.arange(n))


def test_a_member_is_ranked_on_the_rows_for_which_it_has_an_opinion_as_in_an_evaluation():
    random = np.random.default_rng(0)
    labels = (random.random(ROWS) < 0.1).astype(float)
    evidence = random.gamma(2.0, 1.0, (ROWS, 3)) + labels[:, None]
    evidence[random.random(ROWS) < 0.5, 1] = np.nan
    evidence[labels > 0, 2] = np.nan
    results = [result_of(evidence, labels)]
    found = {one["member"]: one for one in weigh(results)}
    known = ~np.isnan(evidence[:, 1])
    assert found["m1"]["rows"] == known.sum()
    assert found["m1"]["roc_auc"] == roc_auc_score(labels[known], evidence[known, 1])
    assert found["m1"]["pr_auc"] == average_precision_score(labels[known], evidence[known, 1])
    assert (found["m2"]["roc_auc"], found["m2"]["pr_auc"]) == (None, None)  # no anomaly among its rows
    evaluated = evaluate(results, 1e-4, 10.0, 1.0)[0]["members"]
    assert evaluated == {name: {k: found[name][k] for k in ("rows", "roc_auc", "pr_auc")} for name in ("m0", "m1")}
