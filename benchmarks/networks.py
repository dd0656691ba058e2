"""How well trained detectors find broken relations, beside a Gaussian mixture: AUROC, seconds to train, microseconds for an event.

Three made-up kinds of events, of 4, 8 and 24 fields, 6,000 to learn: few factors that all fields follow, with noise; a curved surface;
four clusters. In an anomaly, a quarter of the fields (at least one) has the values of another event. For runs of 16 events, the fields
are waves with noise, and only the last event of a run is disturbed, by half of its fields' spread.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from streamgauge.models.catalog import FITTED
from streamgauge.models.contract import Floats
from streamgauge.models.training.candidate import windows_of

from benchmarks.common import finish, say

LEARNED, JUDGED = 6000, 2000
KINDS = ("factors", "curved", "clusters")


def usual(kind: str, width: int, n: int, seed: int) -> Floats:
    """Usual events; the relations of a kind and width are the same for all seeds."""
    fixed, random = np.random.default_rng(width), np.random.default_rng(1000 + seed)
    events: Floats
    if kind == "factors":
        mix = fixed.normal(size=(max(2, width // 4), width))
        events = random.normal(size=(n, len(mix))) @ mix + 0.3 * random.normal(size=(n, width))
    elif kind == "curved":
        a, b = fixed.normal(size=(2, max(1, width // 6), width))
        place = random.uniform(-1.0, 1.0, (n, len(a)))
        events = np.tanh(place @ a) + 0.5 * np.sin(2.0 * (place @ b)) + 0.05 * random.normal(size=(n, width))
    else:
        centres = 3.0 * fixed.normal(size=(4, width))
        events = centres[random.integers(0, 4, n)] + 0.4 * random.normal(size=(n, width))
    return events


def broken(X: Floats, seed: int) -> Floats:
    """Events in which a quarter of the fields has the values of another event."""
    random = np.random.default_rng(2000 + seed)
    strange = X.copy()
    for i in range(len(X)):
        fields = random.choice(X.shape[1], max(1, X.shape[1] // 4), replace=False)
        strange[i, fields] = X[random.integers(0, len(X)), fields]
    return strange


def waves(width: int, n: int, seed: int) -> Floats:
    random = np.random.default_rng(3000 + seed)
    t = np.arange(n)[:, None] + 1000 * seed
    events: Floats = np.sin(t / 6.0 + 0.7 * np.arange(width)) + np.sin(t / 17.0) + 0.1 * random.normal(size=(n, width))
    return events


def judged(name: str, kind: str, width: int) -> dict[str, Any]:
    """AUROC and cost of one detector on one kind of events."""
    began = time.process_time()
    if FITTED[name].sequence:
        detector = FITTED[name]().fit(waves(width, LEARNED, 0))
        took = time.process_time() - began
        calm = waves(width, JUDGED, 1)
        runs = windows_of(detector, calm, np.zeros(len(calm), np.int64))
        strange = runs.copy()
        strange[:, -1] += 0.5 * calm.std(axis=0) * np.random.default_rng(4).choice((-1.0, 1.0), strange[:, -1].shape)
    else:
        detector = FITTED[name]().fit(usual(kind, width, LEARNED, 0))
        took = time.process_time() - began
        runs = usual(kind, width, JUDGED, 1)
        strange = broken(usual(kind, width, JUDGED, 2), 3)
    both, labels = np.concatenate((runs, strange)), np.repeat((0, 1), (len(runs), len(strange)))
    detector.rate_many(both[:256])
    began = time.process_time()
    scores = detector.rate_many(both)
    cost = (time.process_time() - began) / len(both) * 1e6
    return {
        "detector": name,
        "kind": "waves" if FITTED[name].sequence else kind,
        "fields": width,
        "roc_auc": float(roc_auc_score(labels, scores)),
        "training_s": took,
        "us_per_event": cost,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detectors", nargs="+", choices=list(FITTED), default=list(FITTED), metavar="NAME")
    parser.add_argument("--fields", nargs="+", type=int, default=[4, 8, 24])
    options = parser.parse_args()
    runs = []
    for width in options.fields:
        for name in options.detectors:
            for kind in KINDS[: 1 if FITTED[name].sequence else len(KINDS)]:
                run = judged(name, kind, width)
                runs.append(run)
                say(
                    f"{width} fields, {run['kind']}: {name} {run['roc_auc']:.3f}, {run['training_s']:.1f} s to train, "
                    f"{run['us_per_event']:.2f} us an event"
                )
    finish({"runs": runs})


if __name__ == "__main__":
    main()
