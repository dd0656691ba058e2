"""Half-space trees: ours on arrays, and River's event by event. Checks that the scores are equal, then measures the ratio of the times."""

from __future__ import annotations

import argparse
import time

import numpy as np
from river.anomaly import HalfSpaceTrees as River
from streamgauge.models.detectors.cohort.half_space_trees import HalfSpaceTrees

from benchmarks.common import finish, say

SIZES = ((10, 8, 3000, 200_000), (25, 15, 600, 50_000))
FIELDS, BATCH = 4, 500


def river_scores(model: River, X: np.ndarray) -> tuple[np.ndarray, float]:
    events = [{f"f{i}": v for i, v in enumerate(x)} for x in X.tolist()]
    scores = np.empty(len(X))
    started = time.perf_counter()
    for i, event in enumerate(events):
        scores[i] = model.score_one(event)
        model.learn_one(event)
    return scores, time.perf_counter() - started


def our_scores(model: HalfSpaceTrees, X: np.ndarray) -> tuple[np.ndarray, float]:
    parts = np.array_split(X, max(1, len(X) // BATCH))
    started = time.perf_counter()
    scores = [model.score_learn_many(part) for part in parts]
    return np.concatenate(scores), time.perf_counter() - started


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    runs = []
    for n_trees, height, few, many in SIZES:
        parameters = {"n_trees": n_trees, "height": height, "window_size": 250, "seed": 42}
        X = np.random.default_rng(0).random((many, FIELDS))
        warm = HalfSpaceTrees(**parameters)
        our_scores(warm, X[:1000])  # compiles
        river, ours = River(**parameters), HalfSpaceTrees(**parameters)
        river_scores(river, X[:1])  # builds the trees
        our_scores(ours, X[:1])
        theirs, their_seconds = river_scores(river, X[1:few])
        same, _ = our_scores(ours, X[1:few])
        equal = bool(np.array_equal(same, theirs))
        _, our_seconds = our_scores(ours, X[few:])
        their_us, our_us = their_seconds / (few - 1) * 1e6, our_seconds / (many - few) * 1e6
        ratio = their_us / our_us
        say(
            f"{n_trees} x {height}: equal {equal}, River {their_us:.1f} us, ours {our_us:.2f} us an event, ratio {ratio:.0f}"
        )
        runs.append(
            {
                "trees": n_trees,
                "height": height,
                "equal": equal,
                "ratio": ratio,
                "river_us": their_us,
                "ours_us": our_us,
            }
        )
    finish({"runs": runs})


if __name__ == "__main__":
    main()
