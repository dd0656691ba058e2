"""Pumps: sensors that drift, stand still, fall silent, or leave their group. Run as ``python -m examples.iot``."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from examples.iot.picture import draw
from examples.play import Planted, Stream, main

PUMPS, STEP, DAYS, LEARNED = 20, 600_000, 49, 28
PER_DAY = 144


def stream(seed: int = 0) -> Stream:
    """Seven weeks of twenty pumps, with anomalies in the last three weeks."""
    random = np.random.default_rng(seed)
    start = (int(time.time() * 1000) // 86_400_000 - 60) * 86_400_000
    n = DAYS * PER_DAY
    hour = np.arange(n) % PER_DAY / PER_DAY * 24
    weather = np.cumsum(random.normal(0, 0.08, n))
    weather -= np.linspace(0, weather[-1], n)
    temperature = (
        random.normal(60, 4, PUMPS)
        + 4 * np.sin((hour - 9) / 24 * 2 * np.pi)[:, None]
        + weather[:, None]
        + random.normal(0, 0.4, (n, PUMPS))
    )
    vibration = random.normal(2.0, 0.1, PUMPS) + 0.15 * np.abs(random.normal(0, 1, (n, PUMPS)))
    pressure = random.normal(8, 0.3, PUMPS) + random.normal(0, 0.1, (n, PUMPS))
    planted: list[Planted] = []
    silent = np.zeros((n, PUMPS), np.bool_)
    pumps = iter(random.permutation(PUMPS).tolist())

    def place(kind: str, days: float, grace: float) -> tuple[slice, int]:
        """A stretch of this many days, on a pump that has no anomaly yet."""
        pump, length = next(pumps), int(days * PER_DAY)
        first = LEARNED * PER_DAY + int(random.integers(0, n - LEARNED * PER_DAY - length - 2 * PER_DAY))
        end = first + length + int(grace * PER_DAY)
        planted.append(Planted(kind, f"pump-{pump:02d}", start + first * STEP, start + end * STEP))
        return slice(first, first + length), pump

    for _ in range(3):
        part, pump = place("drift of the pressure sensor", 8, 0)
        pressure[part, pump] += np.linspace(0, 0.4, part.stop - part.start)
        pressure[part.stop :, pump] += 0.4
        part, pump = place("temperature sensor stands still", 0.4, 0)
        temperature[part, pump] = temperature[part.start, pump]
        part, pump = place("silence", 0.5, 0.05)
        silent[part, pump] = True
        part, pump = place("bearing: vibration a little high", 0.6, 0.1)
        vibration[part, pump] += 0.15
        part, pump = place("runs warm while the others cool", 0.3, 0.05)
        temperature[part, pump] += 2.5 * np.sign(-np.gradient(temperature[part, pump]).sum() or 1.0)
    events: list[tuple[str, int, dict[str, Any]]] = [
        (
            f"pump-{pump:02d}",
            start + i * STEP + pump * 1000,
            {
                "temperature": round(float(temperature[i, pump]), 3),
                "vibration": round(float(vibration[i, pump]), 4),
                "pressure": round(float(pressure[i, pump]), 4),
            },
        )
        for i in range(n)
        for pump in range(PUMPS)
        if not silent[i, pump]
    ]
    return Stream(events, planted, start + LEARNED * 86_400_000)


if __name__ == "__main__":
    main("iot", __doc__, stream, draw)
