"""Whether each online detector keeps its promise: the share of usual events at or beyond a tail probability, over that probability.

Each detector sees stationary and wandering processes without any anomaly: normal noise, autoregressions (.5, .9, .99), a random walk,
log-normal values, counts (Poisson, 4), two values (1 in 10), and a daily wave with noise. Detectors of single entities see one field,
those of the cohort three independent ones. Raw scores become tail probabilities by a calibrator with the settings of the job. The
first 10,000 events of 50,000 only warm up. The last lines say on which processes a detector is too loud by more than a factor of three.
`peer_deviation` is left out: it needs many entities (`python -m benchmarks.kinds`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.signal import lfilter
from streamgauge.models.calibration.calibration import TailCalibrator
from streamgauge.models.catalog import COHORT, ENTITY, ONLINE
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.entity.seasonal_profile import SeasonalProfile
from streamgauge.udfs.scoring.calibrate import RUNS
from streamgauge.udfs.scoring.normalise import CHANNELS, PRIOR, WIDTH, featurize, unsquashed
from streamgauge.udfs.settings.pipeline import FeaturizeSettings, PipelineSettings

from benchmarks.common import finish, say

EVENTS, WARM_UP, DAY, STEP = 50_000, 10_000, 288, 300_000
FEW = 12_000  # events for a detector that takes as long as River's trees
PROMISED = (1e-2, 1e-3, 1e-4)
LOUD = 3.0
START = 1_767_571_200_000  # 2026-01-05, a Monday


def autoregression(share: float) -> Callable[[np.random.Generator, tuple[int, int]], Floats]:
    """A process that keeps a share of its deviation at each step; its standard deviation is 1."""

    def process(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
        noise = random.normal(size=shape) * np.sqrt(1.0 - share * share)
        values: Floats = lfilter([1.0], [1.0, -share], noise, axis=0)
        return values

    return process


def seasonal(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    wave = 3.0 * np.sin(2.0 * np.pi * np.arange(shape[0]) / DAY)[:, None]
    values: Floats = wave + random.normal(size=shape)
    return values


PROCESSES: dict[str, Callable[[np.random.Generator, tuple[int, int]], Floats]] = {
    "normal": lambda random, shape: random.normal(size=shape),
    "ar .5": autoregression(0.5),
    "ar .9": autoregression(0.9),
    "ar .99": autoregression(0.99),
    "walk": lambda random, shape: random.normal(size=shape).cumsum(axis=0),
    "log-normal": lambda random, shape: random.lognormal(size=shape),
    "poisson": lambda random, shape: random.poisson(4.0, shape).astype(np.float64),
    "two values": lambda random, shape: (random.random(shape) < 0.1).astype(np.float64),
    "seasonal": seasonal,
}
ALONE = [name for name in ONLINE if name != "peer_deviation"]  # needs no other entities
CATEGORIES = ("poisson", "two values")  # what a detector of categories can be shown


def raw_scores(name: str, X: Floats) -> Floats:
    """Raw scores of one entity's events, as the job would compute them with this detector alone."""
    n, d = X.shape
    rows = np.zeros(n, np.int64)
    if name in ENTITY:
        detector = ENTITY[name]()
        if detector.input_kind in ("residuals", "own"):
            profile = SeasonalProfile()
            state = np.zeros((1, d, profile.numbers_per_feature))
            X = X - profile.rate_learn_entities(state, rows, X, START + STEP * np.arange(n))[2]
        state = np.zeros((1, d, detector.numbers_per_feature))
        return detector.rate_learn_entities(state, rows, X, START + STEP * np.arange(n))[0]
    model = COHORT[name]()
    given = X
    if model.input_kind != "categories":
        state, prior = np.zeros((1, d, WIDTH)), np.zeros((d, PRIOR))
        given = featurize(state, rows, X, FeaturizeSettings(), np.zeros(2), prior)[0]
        known = ~np.isnan(given).all(axis=1)
        if model.input_kind != "features":
            levels = unsquashed(given[:, ::CHANNELS])
            lasts = levels - unsquashed(given[:, 1::CHANNELS])
            given = levels if model.input_kind == "levels" else np.hstack((levels, lasts))
        raw = np.full(n, np.nan)
        raw[known] = model.rate_learn_many(np.ascontiguousarray(given[known]))[0]
        return raw
    return model.rate_learn_many(given)[0]


def achieved(name: str, process: str, seed: int) -> list[float]:
    """Share of the events at or beyond each of `PROMISED`, over what was promised."""
    few = name == "river_half_space_trees"
    random = np.random.default_rng(seed)
    X = PROCESSES[process](random, (FEW if few else EVENTS, 1 if name in ENTITY else 3))
    raw = raw_scores(name, X)
    evidence = raw
    if not ONLINE[name].in_nats:
        settings = PipelineSettings().calibration
        calibrator = TailCalibrator(settings.memory, settings.warmup, **(RUNS if ONLINE[name].beside else {}))
        evidence = calibrator.rate_learn_many(raw)
    judged = evidence[FEW // 4 if few else WARM_UP :]
    judged = judged[~np.isnan(judged)]
    return [float((judged >= -np.log(p)).mean() / p) if len(judged) else float("nan") for p in PROMISED]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detectors", nargs="+", choices=ALONE, default=ALONE, metavar="NAME")
    parser.add_argument("--processes", nargs="+", choices=list(PROCESSES), default=list(PROCESSES), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--json", action="store_true", help="only the last line, as JSON")
    options = parser.parse_args()
    runs: list[dict[str, Any]] = []
    loud: dict[str, list[str]] = {}
    for name in options.detectors:
        categories = name in COHORT and COHORT[name].input_kind == "categories"
        for process in options.processes:
            if categories and process not in CATEGORIES:
                continue
            ratios = np.array([achieved(name, process, seed) for seed in range(options.seeds)])
            run: dict[str, Any] = {"detector": name, "process": process}
            cells = []
            for p, column in zip(PROMISED, ratios.T, strict=True):
                low, middle, high = np.quantile(column, (0.0, 0.5, 1.0)).tolist()
                run[f"{p:g}"] = {"min": low, "median": middle, "max": high, "mean": float(column.mean())}
                cells.append(f"{low:.2f} {middle:.2f} {high:.2f}")
            runs.append(run)
            if any(run[f"{p:g}"]["mean"] > LOUD for p in PROMISED):
                loud.setdefault(name, []).append(process)
            if not options.json:
                say(f"{name:24} {process:12} {' | '.join(f'{cell:18}' for cell in cells)}")
    if not options.json:
        for name in options.detectors:
            say(f"{name}: too loud on {', '.join(loud[name])}" if name in loud else f"{name}: keeps its promise")
    finish({"promised": PROMISED, "seeds": options.seeds, "events": EVENTS, "runs": runs, "too_loud": loud})


if __name__ == "__main__":
    main()
