"""Server metrics with seasons, from the Numenta Anomaly Benchmark. Run as ``python -m examples.infrastructure``."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from streamgauge.jobs.cluster.resources import demo_series
from streamgauge.jobs.studies.demo import windows_of

from examples.play import Planted, Stream, main

DAY = 86_400_000


def stream() -> Stream:
    """The series of the demo at the same time, moved so that all begin in the same week. The first three days are for learning."""
    start = (int(time.time() * 1000) // DAY - 345) * DAY
    events: list[tuple[str, int, dict[str, Any]]] = []
    planted: list[Planted] = []
    for file in sorted(demo_series().glob("*.csv")):
        frame, windows = windows_of(file)
        stamps = frame["timestamp"].to_numpy(dtype="datetime64[ms]").astype(np.int64)
        moved = start + stamps - stamps[0] // (7 * DAY) * 7 * DAY
        events += [(file.stem, int(t), {"value": float(v)}) for t, v in zip(moved, frame["value"], strict=True)]
        planted += [Planted("labelled window", file.stem, int(moved[a]), int(moved[b])) for a, b in windows]
    events.sort(key=lambda event: event[1])
    return Stream(events, planted, start + 3 * DAY)


if __name__ == "__main__":
    main("infrastructure", __doc__, stream)
