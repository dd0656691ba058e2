"""Machines whose data change, a model that is bad on purpose, and the picture of how a model follows the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score
from streamgauge.jobs.studies.train import train
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past
from streamgauge.udfs.control.messages import ModelVersion

FIELDS = ["load", "heat", "flow", "noise"]
MODEL, ENTITIES = "machines", 40
MIX = np.array([[1, 0.8, 0.3, 0], [0, 0.6, 0.5, 0], [0, 0, 0.8, 0.2], [0, 0, 0, 1.0]])
AFTER = np.array([[1, -0.4, 0.3, 0.3], [0, 0.9, -0.5, 0], [0, 0, 0.8, 0.2], [0, 0, 0, 1.4]])
SPAN = 2000  # events for each point in the picture


def made(n: int, seed: int, moved: Flags) -> tuple[Floats, Ints, Flags]:
    """Events, their entities, and which of them are anomalies: one in a hundred, with a shift of each field.

    Parameters
    ----------
    n, seed : int
    moved : bool[n]
        Whether an event comes after the change.
    """
    random = np.random.default_rng(seed)
    Z, entities = random.normal(size=(n, 4)), random.integers(0, ENTITIES, n)
    X = np.where(moved[:, None], Z @ AFTER + np.array([2.0, -1.5, 0, 1.0]), Z @ MIX)
    labels = random.random(n) < 0.01
    strange = np.flatnonzero(labels)
    X[strange] += random.choice([-1, 1], (len(strange), 4)) * random.uniform(1.5, 4.0, (len(strange), 4))
    return X, entities, labels


def bad_live_model(registry: Registry) -> list[ModelVersion]:
    """Make a model live that was trained on useless data, with the version before as its shadow.

    Returns
    -------
    list of ModelVersion
        Messages that must be sent to the job.
    """
    good = registry.aliases(MODEL)["live"]
    random = np.random.default_rng(1)
    past = Past(random.normal(0, 0.01, (4000, 4)) - 3, FIELDS, random.integers(0, ENTITIES, 4000))
    bad = train(registry, MODEL, "isolation_forest", past).version
    registry.point(MODEL, "shadow", good)
    registry.point(MODEL, "live", bad)
    return [
        ModelVersion(type="model", model=MODEL, role="shadow", version=good),
        ModelVersion(type="model", model=MODEL, role="live", version=bad),
    ]


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened after a number of events. `version` is the live version from then on, if it changed."""

    at: int
    what: str
    version: int | None = None


def quality(labels: Flags, evidence: Floats) -> tuple[list[int], list[float]]:
    """Average precision of each span of events, with the middle of the span. Events with the evidence NaN do not count."""
    places, found = [], []
    for begin in range(0, len(labels), SPAN):
        part = slice(begin, begin + SPAN)
        known = ~np.isnan(evidence[part])
        if labels[part][known].any():
            places.append(begin + SPAN // 2)
            found.append(float(average_precision_score(labels[part][known], evidence[part][known])))
    return places, found


def draw(labels: Flags, evidence: Floats, moments: list[Moment], path: Path) -> None:
    """Draw precision, tail probabilities and version of the live model over the stream.

    Parameters
    ----------
    labels : bool[n]
    evidence : float64[n]
        Evidence of the model.
    moments : list of Moment
    path : Path
        PNG file to write.
    """
    figure = Figure(figsize=(11, 6), layout="constrained")
    above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=(2, 2, 1))
    above.plot(*quality(labels, evidence), color="#1f6feb", marker=".")
    above.set_ylabel("AUC-PR")
    spans = [slice(begin, begin + SPAN) for begin in range(0, len(labels), SPAN)]
    usual = [np.exp(-evidence[s][~labels[s]]) for s in spans]
    middle.plot([s.start + SPAN // 2 for s in spans], [np.nanmean(p) for p in usual], color="#8b98a5", marker=".")
    middle.axhline(0.5, color="#8b98a5", linestyle=":", linewidth=0.8)
    middle.set_ylabel("mean tail probability\nof usual events")
    steps = [(0, 1), *((m.at, m.version) for m in sorted(moments, key=lambda m: m.at) if m.version is not None)]
    at, which = [place for place, _ in steps], [version for _, version in steps]
    below.step([*at, len(labels)], [*which, which[-1]], where="post", color="#2d936c")
    below.set_ylabel("version")
    below.set_yticks(sorted(set(which)))
    below.set_xlabel("events")
    for axes in (above, middle, below):
        axes.spines[["top", "right"]].set_visible(False)
        for moment in moments:
            axes.axvline(moment.at, color="#d1495b", linewidth=0.7, alpha=0.6)
    for k, moment in enumerate(sorted(moments, key=lambda m: m.at)):
        above.annotate(
            moment.what,
            (moment.at, 1.0 + 0.09 * (k % 4)),
            xycoords=("data", "axes fraction"),
            fontsize=8,
            color="#d1495b",
        )
    figure.savefig(path, dpi=110)
