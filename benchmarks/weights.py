"""Weights that follow from measured performance, compared with the best single member and with equal weights.

Each tabular set is a stream in a fixed random order, scored by the job's pipeline with eight members. The weights follow from the labels
of the first half (`streamgauge weigh`), or without labels from agreement. They are judged on the second half, by average precision. The
best single member is also chosen on the second half, so it is known only afterwards. The number of false positives, when half of the
anomalies are found, is compared with that of the member with the highest mean AUROC over all sets. Sets with fewer than 50 anomalies are
left out. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score
from streamgauge.jobs.settings.loading import Settings, validated
from streamgauge.jobs.studies.benchmark import false_positives, tabular_sets
from streamgauge.jobs.studies.weigh import WARM, proposed
from streamgauge.models.contract import Flags, Floats
from streamgauge.udfs.control.messages import parse
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.pipeline.shard import Shard

from benchmarks.common import finish, say

START, BATCH, LEAST, MOST = 1_760_000_000_000, 1000, 50, 20_000  # LEAST anomalies and MOST records of a set
MEMBERS = (
    "mahalanobis",
    "empirical_tail",
    "online_gaussian_mixture",
    "conditional_residual",
)  # members in addition to the default ones


def settings() -> Settings:
    """The default ensemble with four more members."""
    return validated({"detectors": {name: {} for name in MEMBERS}, "track": None}, "the benchmark")


def played(X: Floats, weights: dict[str, float]) -> tuple[Floats, Floats, list[str]]:
    """Evidence of each record, evidence of each member, and names of the members, with these weights from the start."""
    shard = Shard(settings().pipeline(), saves=False)
    shard.apply(parse(json.dumps({"type": "weights", "weights": weights})))
    encode = msgspec.json.Encoder().encode
    evidence, members = np.zeros(len(X)), np.full((len(X), len(shard.member_names)), np.nan)
    for begin in range(0, len(X), BATCH):
        offsets = np.arange(begin, min(begin + BATCH, len(X)))
        texts = [encode({"entity": "set", **{f"x{j}": x for j, x in enumerate(X[i].tolist())}}) for i in offsets]
        result = shard.process(RawBatch(texts, offsets * 0, offsets, START + offsets))
        for rows, combined, each in zip(result.rows, result.evidence, result.members, strict=True):
            evidence[begin + rows], members[begin + rows] = combined, each
    return evidence, members, shard.member_names


def judge(job: tuple[str, Floats, Flags]) -> dict[str, Any]:
    """The figures of one set."""
    name, X, labels = job
    half = len(X) // 2
    _, members, names = played(X, {})
    opinionated = np.flatnonzero(~np.isnan(members[WARM:]).all(axis=0))
    known = [names[k] for k in opinionated]
    equal = played(X, dict.fromkeys(known, 1.0))[0]
    by_weights = {"equal": equal}
    for how, truth in (("labels", labels[WARM:half]), ("agreement", None)):
        weights = dict(zip(known, proposed(members[WARM:half][:, opinionated], truth), strict=True))
        by_weights[how] = played(X, weights)[0]
    precision = {
        how: float(average_precision_score(labels[half:], evidence[half:])) for how, evidence in by_weights.items()
    }
    each = {
        names[k]: float(average_precision_score(labels[half:], np.nan_to_num(members[half:, k]))) for k in opinionated
    }
    best = max(each, key=each.__getitem__)
    combined = {how: evidence[half:] for how, evidence in by_weights.items()}
    singles = {names[k]: np.nan_to_num(members[half:, k]) for k in opinionated}
    return {
        "set": name,
        "records": len(X),
        "best": best,
        "best_single": each[best],
        **precision,
        "auroc": {who: float(roc_auc_score(labels[half:], scores)) for who, scores in singles.items()},
        "false_positives": {
            who: false_positives(labels[half:], scores) for who, scores in (combined | singles).items()
        },
    }


def false_positive_ratios(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """By way to weigh: false positives divided by those of the member with the highest mean AUROC; the median over the sets."""
    everywhere = [who for who in rows[0]["auroc"] if all(who in row["auroc"] for row in rows)]
    best = max(everywhere, key=lambda who: float(np.mean([row["auroc"][who] for row in rows])))
    counts = [row["false_positives"] for row in rows]
    ratios = {
        how: [round(one[how] / max(1, one[best]), 3) for one in counts] for how in ("labels", "agreement", "equal")
    }
    return {
        "best_single": best,
        "by_set": ratios,
        "median": {how: float(np.median(each)) for how, each in ratios.items()},
    }


def main() -> None:
    """Run the benchmark, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weights", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with tabular.tar.gz")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        sets = tabular_sets(chosen.data, settings(), Path(scratch))
    jobs = [(name, X[:MOST], y[:MOST]) for name, (X, y) in sets.items() if y[:MOST].sum() >= LEAST]
    rows = []
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for row in pool.map(judge, jobs):
            rows.append(row)
            say(
                "  ".join(
                    f"{key} {value:.3f}" if isinstance(value, float) else f"{value}"
                    for key, value in row.items()
                    if not isinstance(value, dict)
                )
            )
    finish(
        {
            "sets": rows,
            "streams": len(rows),
            "better_than_equal": sum(row["labels"] > row["equal"] for row in rows),
            "better_than_best_single": sum(row["labels"] > row["best_single"] for row in rows),
            "better_than_both": [row["set"] for row in rows if row["labels"] > max(row["equal"], row["best_single"])],
            "false_positives_at_half_recall": false_positive_ratios(rows),
            "mean": {
                how: float(np.mean([row[how] for row in rows]))
                for how in ("labels", "agreement", "equal", "best_single")
            },
        },
        settings(),
    )


if __name__ == "__main__":
    main()
