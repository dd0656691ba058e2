"""Isolation forest: how few random cuts set an event apart; trees grown by scikit-learn, scored by a kernel."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numba import njit
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.fitted.fitted_detector import FittedDetector, Progress
from streamgauge.models.detectors.fitted.ranges import Range
from streamgauge.models.detectors.fitted.synthetic_anomalies import without_strangest
from streamgauge.models.errors import StateError
from streamgauge.models.evaluation.tree_shap import tree_shap
from streamgauge.models.lazy_modules import load_module
from streamgauge.models.persistence.codec import demand

NODE_BYTES = 40
DEEPEST = 64  # levels of a tree; one that is grown from n events has about log2(n)


class IsolationForest(FittedDetector):
    """How few random cuts set an event apart from a sample of the history: the score is ``2 ** (-depth / c(n))``.

    Explanations are exact Shapley values of the mean depth, given the trees' own distribution of the data (TreeSHAP).

    Parameters
    ----------
    n_trees : int
        Trees.
    part : int
        Events that each tree is grown from.
    trim : float
        Share of the history that is not learned from: the events with the highest raw scores.
    seed : int
        Of all random choices.

    Notes
    -----
    Liu, Ting and Zhou, Isolation forest, ICDM 2008; grown by scikit-learn's IsolationForest, scores equal to its own.
    """

    name: ClassVar[str] = "isolation_forest"
    half_score: ClassVar[float] = 1.0
    ranges: ClassVar[dict[str, Range]] = FittedDetector.ranges | {"n_trees": Range(1), "part": Range(3)}

    def __init__(self, n_trees: int = 100, part: int = 256, trim: float = 0.02, seed: int = 42) -> None:
        super().__init__()
        self.n_trees = n_trees
        self.part = part
        self.trim = trim
        self.seed = seed

    @classmethod
    def bytes_for(cls, width: int, **settings: Any) -> int:  # noqa: D102
        forest = cls(**settings)
        return forest.n_trees * 2 * forest.part * NODE_BYTES + 16 * width

    def _train(self, Z: Floats, say: Progress) -> None:
        say("growing trees", 0.0)
        self._grow(Z)
        if self.trim:
            say("growing trees", 0.5)
            self._grow(without_strangest(Z, self._rate, self.trim))
        say("growing trees", 1.0)

    def _grow(self, Z: Floats) -> None:
        fits = load_module("detectors.fitted.sklearn_fits")
        grown = fits.isolation_forest(Z, self.n_trees, self.part, self.seed)
        trees = [estimator.tree_ for estimator in grown.estimators_]
        starts = np.cumsum([0, *(tree.node_count for tree in trees)])

        def shifted(children: Any, start: int) -> Any:
            return np.where(children < 0, -1, children + start)

        pairs = list(zip(trees, starts[:-1].tolist(), strict=True))
        self.arrays = {
            "roots": starts[:-1].astype(np.int32),
            "feature": np.concatenate([tree.feature for tree in trees]).astype(np.int32),
            "cut": np.concatenate([tree.threshold for tree in trees]),
            "left": np.concatenate([shifted(tree.children_left, start) for tree, start in pairs]).astype(np.int32),
            "right": np.concatenate([shifted(tree.children_right, start) for tree, start in pairs]).astype(np.int32),
            "size": np.concatenate([tree.n_node_samples for tree in trees]).astype(np.float64),
        }
        depth = np.concatenate([_depths(tree) for tree in trees])
        self.arrays["depth"] = depth + average_depth(self.arrays["size"])
        self.arrays["usual"] = average_depth(np.array([float(grown.max_samples_)]))

    def _check(self) -> None:
        a, d = self.arrays, self.normalisation.centre.size
        roots = demand(a, "roots", np.int32, (None,))
        left = demand(a, "left", np.int32, (None,))
        for name in ("feature", "right"):
            demand(a, name, np.int32, left.shape)
        for name in ("cut", "size", "depth"):
            demand(a, name, np.float64, left.shape)
        demand(a, "usual", np.float64, (1,))
        inner = left >= 0
        if not ((a["feature"][inner] >= 0) & (a["feature"][inner] < d)).all():
            raise StateError(f"a tree looks at a field that is none of its {d}")
        if not (a["size"] > 0).all():
            raise StateError("a node of a tree has no events")
        _check_trees(roots, left, a["right"], inner)

    def _rate(self, Z: Floats) -> Floats:
        a = self.arrays
        total = np.empty(len(Z))
        _walk(Z, a["roots"], a["feature"], a["cut"], a["left"], a["right"], a["depth"], total)
        score = 2.0 ** (-total / (len(a["roots"]) * a["usual"][0]))
        raw_score: Floats = score / np.maximum(1.0 - score, 1e-15)
        return raw_score

    def _weights(self, Z: Floats) -> Floats:
        a = self.arrays
        shares = tree_shap(Z, a["roots"], a["feature"], a["cut"], a["left"], a["right"], a["size"], a["depth"])
        return np.maximum(-shares, 0.0)  # what makes the path shorter


def average_depth(sizes: Floats) -> Floats:
    """Mean depth of an unsuccessful search in a binary tree of so many events, c(n) of the paper."""
    n = np.maximum(sizes, 2.0)
    depth = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    return np.where(sizes <= 1.0, 0.0, np.where(sizes == 2.0, 1.0, depth))


def _check_trees(roots: Any, left: Any, right: Any, inner: Any) -> None:
    """Raise StateError if the nodes are not trees: a place out of range, two ways to a node, a circle, or too many levels."""
    places = np.concatenate((roots, left[inner], right[inner]))
    if not ((places >= 0) & (places < len(left))).all():
        raise StateError(f"a tree has a node out of its {len(left)}")
    if len(np.unique(places)) < len(places):
        raise StateError("a node is in two places of the trees")
    level = roots
    for _ in range(DEEPEST):
        level = level[inner[level]]
        level = np.concatenate((left[level], right[level]))
        if not len(level):
            return
    raise StateError(f"a tree has more than {DEEPEST} levels")


def _depths(tree: Any) -> Floats:
    depths = np.zeros(tree.node_count)
    for node in range(tree.node_count):  # parents come before their children
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                depths[child] = depths[node] + 1.0
    return depths


@njit(cache=True)
def _walk(Z, roots, feature, cut, left, right, depth, total):  # type: ignore[no-untyped-def]
    for i in range(Z.shape[0]):
        total[i] = 0.0
        for t in range(len(roots)):
            node = roots[t]
            while left[node] >= 0:
                # scikit-learn grows its trees on float32
                node = left[node] if np.float32(Z[i, feature[node]]) <= cut[node] else right[node]
            total[i] += depth[node]
