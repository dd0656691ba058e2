"""How often the intervals of `streamgauge evaluate` cover the true figure, on simulated runs.

Each run has 6,000 rows and about 13 incidents of about 60 rows, which are found more or less well; usual scores depend on those before
them (autocorrelation .8). The true figures are those of 60 other runs together.
"""

from __future__ import annotations

import argparse

import numpy as np
from streamgauge.models.contract import Flags, Floats
from streamgauge.models.evaluation.evaluation import intervals, judge

from benchmarks.common import finish, say

ROWS, BETWEEN, LENGTH, THRESHOLD, TRUE = 6000, 400.0, 60.0, 2.2, 60


def simulated(seed: int) -> tuple[Flags, Floats, Flags]:
    """Labels, scores and flags of one run."""
    random = np.random.default_rng(seed)
    labels, scores = np.zeros(ROWS, np.bool_), random.normal(size=ROWS)
    for i in range(1, ROWS):
        scores[i] = 0.8 * scores[i - 1] + 0.6 * scores[i]
    place = 1 + int(random.exponential(BETWEEN))
    while place < ROWS:
        end = place + 1 + int(random.exponential(LENGTH))
        labels[place:end] = True
        scores[place:end] += random.uniform(0.0, 5.0)
        place = end + 1 + int(random.exponential(BETWEEN))
    return labels, scores, scores > THRESHOLD


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    runs = parser.parse_args().runs
    many = [simulated(1_000_000 + k) for k in range(TRUE)]
    true = judge(*(np.concatenate([run[part] for run in many]) for part in range(3)))
    covered: dict[str, int] = {}
    for seed in range(runs):
        for name, (low, high) in intervals(*simulated(seed)).items():
            covered[name] = covered.get(name, 0) + (low <= true[name] <= high)
    shares = {name: count / runs for name, count in covered.items()}
    for name, share in shares.items():
        say(f"{name}: {share:.2f} of {runs} intervals cover {true[name]:.3f}")
    finish({"runs": runs, "covered": shares})


if __name__ == "__main__":
    main()
