"""The cost of each detector: microseconds for an event in batches of 256 and 2,048, and bytes of state.

Entity detectors score 100 entities with four fields. Cohort detectors score the columns that the job makes of four fields. Trained
detectors score events of four fields, or runs of 16 events. All run in this process on one core, after a warm-up.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from streamgauge.models.catalog import COHORT, ENTITY, FITTED
from streamgauge.models.training.candidate import windows_of
from streamgauge.udfs.scoring.detectors import COLUMNS

from benchmarks.common import finish, say

BATCHES = (256, 2048)
FIELDS, ENTITIES, EVENTS = 4, 100, 40_960


def entity_us(name: str, batch: int) -> tuple[float, int]:
    detector = ENTITY[name]()
    state = np.zeros((ENTITIES, FIELDS, detector.numbers_per_feature))
    random = np.random.default_rng(0)
    X, rows = random.normal(size=(2 * EVENTS, FIELDS)), random.integers(0, ENTITIES, 2 * EVENTS)
    times = 1_760_000_000_000 + 60_000 * np.arange(2 * EVENTS)
    began = 0.0
    for start in range(0, 2 * EVENTS, batch):
        if start == EVENTS:
            began = time.perf_counter()
        part = slice(start, start + batch)
        detector.rate_learn_entities(state, rows[part], X[part], times[part])
    return (time.perf_counter() - began) / EVENTS * 1e6, 8 * FIELDS * detector.numbers_per_feature


def cohort_us(name: str, batch: int, events: int) -> tuple[float, int]:
    detector = COHORT[name]()
    width = COLUMNS[detector.input_kind] * FIELDS
    X = np.random.default_rng(0).uniform(0.2, 0.8, (2 * events, width))
    began = 0.0
    for start in range(0, 2 * events, batch):
        if start == events:
            began = time.perf_counter()
        detector.rate_learn_many(X[start : start + batch])
    return (time.perf_counter() - began) / events * 1e6, len(detector.to_state())


def say_run(run: dict[str, float | int | str]) -> None:
    say(f"{run['detector']}: {run['us_per_event_256']:.2f} / {run['us_per_event_2048']:.2f} us, {run['bytes']} bytes")


def fitted_run(name: str) -> dict[str, float | int | str]:
    """The figures of a trained detector."""
    random = np.random.default_rng(0)
    X = random.normal(size=(4000, FIELDS)) @ random.normal(size=(FIELDS, FIELDS))
    detector = FITTED[name]().fit(X)
    events = windows_of(detector, X, np.zeros(len(X), np.int64))
    run: dict[str, float | int | str] = {"detector": name, "per": "trained"}
    for batch in BATCHES:
        parts = [events[np.arange(batch) % len(events)]] * max(1, 8192 // batch)
        detector.rate_many(parts[0])
        began = time.perf_counter()
        for part in parts:
            detector.rate_many(part)
        run[f"us_per_event_{batch}"] = (time.perf_counter() - began) / (len(parts) * batch) * 1e6
    run["bytes"] = sum(map(len, detector.to_files().values()))
    return run


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    runs = []
    for name in (*ENTITY, *COHORT):
        run: dict[str, float | int | str] = {"detector": name, "per": "entity" if name in ENTITY else "cohort"}
        for batch in BATCHES:
            few = 4096 if name == "river_half_space_trees" else EVENTS
            us, size = entity_us(name, batch) if name in ENTITY else cohort_us(name, batch, few)
            run[f"us_per_event_{batch}"], run["bytes"] = us, size
        runs.append(run)
        say_run(run)
    for name in FITTED:
        runs.append(fitted_run(name))
        say_run(runs[-1])
    finish({"fields": FIELDS, "runs": runs})


if __name__ == "__main__":
    main()
