"""Payment cards: very large amounts, runs of small payments, payments abroad. Run as ``python -m examples.fraud``."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from examples.play import Planted, Stream, main

CARDS, DAYS, LEARNED = 300, 90, 45
MINUTE, DAY = 60_000, 86_400_000


def stream(seed: int = 0) -> Stream:
    """Three months of three hundred cards. In the second half, one card in five has one fraud."""
    random = np.random.default_rng(seed)
    start = (int(time.time() * 1000) // DAY - DAYS - 5) * DAY
    raw: list[tuple[int, int, float, float, bool]] = []  # card, time, amount, km, travelling
    trips: dict[int, tuple[int, int]] = {}
    for card in range(CARDS):
        usual, often = random.lognormal(3.5, 0.5), random.uniform(2, 6)
        count = random.poisson(often * DAYS)
        days = random.integers(0, DAYS, count)
        hours = np.clip(random.normal(14, 4, count), 6, 23.9)
        at = start + days * DAY + (hours * 60 * MINUTE).astype(np.int64)
        amount = usual * random.lognormal(0, 0.6, count)
        km = random.exponential(6, count)
        first = int(random.integers(0, DAYS - 7))
        away = (days >= first) & (days < first + 5)  # a holiday: payments far from home are normal
        trips[card] = (first, first + 5)
        km = np.where(away, random.normal(3000, 50), km)
        raw += [(card, int(t), float(a), float(k), bool(w)) for t, a, k, w in zip(at, amount, km, away, strict=True)]
    planted: list[Planted] = []
    kinds = ("large amount", "run of micro-payments", "abroad without travelling")
    for k, card in enumerate(random.permutation(CARDS)[: CARDS // 5].tolist()):
        kind = kinds[k % 3]
        day = int(random.integers(LEARNED, DAYS - 1))
        while trips[card][0] - 1 <= day <= trips[card][1] + 1:
            day = int(random.integers(LEARNED, DAYS - 1))
        at = start + day * DAY + 13 * 60 * MINUTE
        if kind == "large amount":
            fraud = [(card, at, float(random.uniform(3000, 8000)), 5.0, False)]
        elif kind == "run of micro-payments":
            fraud = [(card, at + n * MINUTE, float(random.uniform(0.5, 2)), 5.0, False) for n in range(25)]
        else:
            fraud = [(card, at, float(random.uniform(600, 900)), float(random.uniform(4000, 9000)), False)]
        raw += fraud
        planted.append(Planted(kind, f"card-{card:03d}", fraud[0][1], fraud[-1][1] + 2 * MINUTE))
    raw.sort(key=lambda payment: payment[1])
    last: dict[int, int] = {}
    events: list[tuple[str, int, dict[str, Any]]] = []
    for card, t, amount, km, travelling in raw:
        gap = (t - last.get(card, t - DAY)) / MINUTE
        last[card] = t
        fields = {
            "amount": round(amount, 2),
            "log_amount": round(float(np.log(amount)), 4),
            "log_gap": round(float(np.log1p(gap)), 4),
            "km": round(km, 1),
            "travelling": travelling,
        }
        events.append((f"card-{card:03d}", t, fields))
    return Stream(events, planted, start + LEARNED * DAY)


if __name__ == "__main__":
    main("fraud", __doc__, stream)
