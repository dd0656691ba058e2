"""Whether anomalies of all six kinds are found, and alerts name the right kind, in a stream with planted anomalies.

Some 25 to 45 entities send an event every five minutes for two months: demand (depends on the hour and the weekend, and has a movement
that all entities share), latency (depends on the hour), temperature (nearly constant), stock (a count). In the second month anomalies are
planted. Their rates, sizes and places follow from the seed, as do noise and seasons. All seeds use the default configuration. An alert
finds an anomaly if it comes during the anomaly, or soon after, and its field is among the two with the largest contributions. The kind of
an anomaly is right if one of these alerts has it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

import msgspec
import numpy as np
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.contract import Floats
from streamgauge.udfs.control.messages import parse
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.pipeline.shard import Shard

from benchmarks.common import finish, say

START = 1_767_571_200_000  # 2026-01-05, a Monday
STEP = 300_000
DAY = 288  # events of an entity
LEARNED, JUDGED = 28, 30  # days to learn, and days that are judged
RULES = {"type": "rules", "rules": [{"id": "stock is never negative", "when": "stock < 0"}]}
FIELD = {
    "point": "latency",
    "contextual": "latency",
    "collective": "latency",
    "conditional": "stock",
    "relative": "demand",
    "drift": "temperature",
}
GRACE = {
    "point": 2,
    "contextual": 2,
    "collective": 12,
    "conditional": 0,
    "relative": 6,
    "drift": DAY,
}  # events after an anomaly, in which it may still be found


@dataclass
class Planted:
    """A planted anomaly: its entity, its first and last step, and the kinds in the alerts that found it."""

    kind: str
    entity: int
    start: int
    end: int
    named: set[str] = field(default_factory=set)


class Places:
    """Chooses a place for each anomaly, so that they do not overlap.

    Parameters
    ----------
    random : Generator
    """

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.planted: list[Planted] = []
        self._taken: dict[tuple[int, str], list[tuple[int, int]]] = {}

    def place(self, kind: str, entity: int, length: int, where: Any = None) -> Planted | None:
        """Plant an anomaly in the judged month. Anomalies of the same entity and field are at least four hours apart."""
        for _ in range(50):
            start = DAY * LEARNED + int(self.random.integers(0, DAY * JUDGED - length - DAY))
            if where is not None and not where(start):
                continue
            spans = self._taken.setdefault((entity, FIELD[kind]), [])
            if all(start > b + 48 or start + length < a - 48 for a, b in spans):
                spans.append((start, start + length))
                self.planted.append(Planted(kind, entity, start, start + length - 1))
                return self.planted[-1]
        return None


def stream(seed: int) -> tuple[dict[str, Floats], list[Planted]]:
    """Fields by name, float64[steps, entities], and the planted anomalies."""
    random = np.random.default_rng(seed)
    entities, steps = int(random.integers(25, 45)), DAY * (LEARNED + JUDGED)
    t = np.arange(steps)
    hour, weekday = t % DAY / DAY * 24, t // DAY % 7
    hours = np.cos((hour - random.uniform(0, 24)) / 24 * 2 * np.pi)
    weekend = np.where(weekday >= 5, random.uniform(0.4, 1.0), 1.0)
    common = _autoregression(random, steps, 1, 0.5 ** (1 / random.uniform(12, 100)))[:, 0]
    noise = random.uniform(0.2, 0.4)
    demand = np.outer(random.uniform(1, 3) * _sharpened(hours, 1.0) * weekend, np.ones(entities))
    demand += common[:, None] + noise * _autoregression(random, steps, entities, random.uniform(0, 0.5))
    scale = random.lognormal(3, 1, entities)
    amplitude = random.uniform(5, 9)
    spread = random.standard_t(random.uniform(12, 30), (steps, entities)) if random.random() < 0.5 else None
    keep = 0.0 if spread is not None else random.uniform(0, 0.4)
    latency = spread if spread is not None else _autoregression(random, steps, entities, keep)
    wave = _sharpened(hours, random.uniform(0.7, 1.3)) * weekend
    latency = latency + np.outer(amplitude * wave, np.ones(entities)) * random.uniform(0.8, 1.2, entities)
    temperature = _autoregression(random, steps, entities, random.uniform(0, 0.6))
    stock = random.poisson(random.uniform(5, 50), (steps, entities)).astype(np.float64)

    places = Places(random)
    place = places.place
    low = np.quantile(wave, 0.25)
    rate = random.uniform(0.4, 1.2)  # of each kind, for each entity
    for entity in range(entities):
        for _ in range(random.poisson(rate)):
            if p := place("point", entity, 1):
                beyond = amplitude + random.uniform(8, 16)
                latency[p.start, entity] = random.choice((-1, 1)) * beyond
        for _ in range(random.poisson(rate)):
            length = int(random.integers(1, 4))
            if p := place("contextual", entity, length, lambda start: wave[start] < low):
                # the value that is usual at the busiest hour
                latency[p.start : p.end + 1, entity] += amplitude * (0.95 - wave[p.start : p.end + 1])
        for _ in range(random.poisson(rate)):
            length = int(random.integers(40, 90))
            if p := place("collective", entity, length):
                part = slice(p.start, p.end + 1)
                if random.random() < 0.3:
                    latency[part, entity] = latency[p.start, entity]  # a flat line
                else:
                    # a multiple of the usual deviation of a run of such noise
                    far = random.uniform(1.25, 2.0) * np.sqrt((1 + keep) / (1 - keep))
                    latency[part, entity] += random.choice((-1, 1)) * far
        for _ in range(random.poisson(rate)):
            if p := place("conditional", entity, 1):
                stock[p.start, entity] = -float(random.integers(1, 4))
        for _ in range(random.poisson(rate)):
            length = int(random.integers(12, 40))
            if p := place("relative", entity, length):
                # it moves against the others, within the range of its own usual values
                far = random.uniform(4, 7) * noise
                demand[p.start : p.end + 1, entity] -= np.sign(common[p.start]) * far
        if random.random() < 0.4:
            length = int(random.integers(4 * DAY, 9 * DAY))
            if p := place("drift", entity, length):
                _drift(random, temperature[:, entity], p)
    fields = {
        "demand": scale * (10 + demand),
        "latency": scale * (20 + latency),
        "temperature": 20 + 0.5 * temperature,
        "stock": stock,
    }
    return fields, places.planted


def _sharpened(wave: Floats, power: float) -> Floats:
    return np.sign(wave) * np.abs(wave) ** power


def _drift(random: np.random.Generator, values: Floats, p: Planted) -> None:
    """Let the values of a field move away slowly, and keep the last shift."""
    ramp = np.linspace(0, random.uniform(2.5, 4.0), p.end + 1 - p.start)
    during, after = values[p.start : p.end + 1], values[p.end + 1 :]
    during += random.choice((-1, 1)) * ramp
    after += ramp[-1] * np.sign(during[-1])


def _autoregression(random: np.random.Generator, steps: int, n: int, keep: float) -> Floats:
    """Columns with variance 1, in which each value keeps the share `keep` of the value before."""
    x = random.standard_normal((steps, n))
    for i in range(1, steps):
        x[i] = keep * x[i - 1] + np.sqrt(1 - keep * keep) * x[i]
    return x


def batches(fields: dict[str, Floats]) -> Iterator[RawBatch]:
    """The stream as batches of Kafka records, with the entities in turn."""
    steps, entities = next(iter(fields.values())).shape
    encode = msgspec.json.Encoder().encode
    rows = max(1, 4000 // entities)
    for begin in range(0, steps, rows):
        end = min(steps, begin + rows)
        columns = {name: values[begin:end].round(4).ravel().tolist() for name, values in fields.items()}
        moments = np.repeat(START + STEP * np.arange(begin, end), entities)
        payloads = [
            encode({"entity": f"e{k % entities}", "ts": ts, **dict(zip(columns, values, strict=True))})
            for k, (ts, *values) in enumerate(zip(moments.tolist(), *columns.values(), strict=True))
        ]
        offsets = begin * entities + np.arange(len(payloads))
        yield RawBatch(payloads, np.zeros(len(payloads), np.int64), offsets, moments)


def judge(seed: int) -> dict[str, Any]:
    """The figures of one seed."""
    fields, planted = stream(seed)
    shard = Shard(Settings().pipeline(), saves=False)
    shard.apply(parse(json.dumps(RULES)))
    entities = fields["demand"].shape[1]
    by_entity: dict[int, list[Planted]] = {}
    for p in planted:
        by_entity.setdefault(p.entity, []).append(p)
    false: Counter[str] = Counter()
    for raw in batches(fields):
        for _, text in shard.process(raw).alerts:
            data = json.loads(text)["data"]
            step, entity = divmod(data["source"]["offset"], entities)
            if data["state"] == "resolved" or step < DAY * LEARNED:
                continue
            blamed = sorted(data["contributions"], key=data["contributions"].get, reverse=True)[:2]
            hits = [
                p
                for p in by_entity.get(entity, [])
                if p.start <= step <= p.end + GRACE[p.kind]
                and (bool(data["rules"]) if p.kind == "conditional" else FIELD[p.kind] in blamed)
            ]
            for p in hits:
                p.named.add(data["kind"])
            # after an anomaly the job must learn the old level again: alerts in these two days are not false
            after = [p for p in by_entity.get(entity, []) if p.start <= step <= p.end + 2 * DAY]
            if data["state"] == "opened" and not hits and not after:
                false[f"{data['kind']} of {blamed[0] if blamed else '?'}"] += 1
    return {"planted": planted, "false": false, "entity_months": entities * JUDGED / 30}


def main() -> None:
    """Run the benchmark, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kinds", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=6, help="number of streams (default: 6)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default: 0)")
    chosen = parser.parse_args()
    if chosen.seeds < 1:
        parser.error(f"--seeds is {chosen.seeds}, at least one is needed")
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        results = []
        for seed, result in zip(seeds, pool.map(judge, seeds), strict=True):
            results.append(result)
            missed = Counter(p.kind for p in result["planted"] if not p.named)
            wrong = Counter((p.kind, *sorted(p.named)) for p in result["planted"] if p.named and p.kind not in p.named)
            say(f"seed {seed}: missed {dict(missed)}, false {dict(result['false'])}, misnamed {dict(wrong)}")
    kinds = {}
    for kind in FIELD:
        of = [p for result in results for p in result["planted"] if p.kind == kind]
        found = [p for p in of if p.named]
        kinds[kind] = {
            "planted": len(of),
            "recall": round(len(found) / max(1, len(of)), 4),
            "named_right": round(sum(kind in p.named for p in found) / max(1, len(found)), 4),
        }
        say(f"{kind:12} {kinds[kind]}")
    months = sum(result["entity_months"] for result in results)
    false: Counter[str] = sum((result["false"] for result in results), Counter())
    finish(
        {
            "kinds": kinds,
            "false_alerts_per_entity_month": round(false.total() / months, 4),
            "false_by_kind": dict(false),
        },
        Settings(),
    )


if __name__ == "__main__":
    main()
