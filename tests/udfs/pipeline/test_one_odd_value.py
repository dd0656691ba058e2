"""One odd value blinds nothing: fifty events later a fault is found, and told of, as if it had never come."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import START, batch

LARGEST = float(np.finfo(np.float64).max)
ODD = (-9999.0, 65535.0, 2.0**31 - 1, 1e308, LARGEST, 0.0)
EVENTS, AT, FAULT = 900, 600, 651
SETTINGS = PipelineSettings.model_validate({"output": {"scores": "all"}})


def usual(process: str, seed: int) -> tuple[np.ndarray, float]:
    """Values of a process, and their usual deviation."""
    random, place = np.random.default_rng(seed), np.arange(EVENTS)
    if process == "counts":
        return random.poisson(4, EVENTS).astype(np.float64), 2.0
    if process == "season":
        return 50 + 10 * np.sin(place * 2 * np.pi / 50) + random.normal(0, 1, EVENTS), 1.0
    if process == "autoregressive":
        x = np.zeros(EVENTS)
        for i, step in enumerate(random.normal(0, 1, EVENTS - 1)):
            x[i + 1] = 0.9 * x[i] + step
        return 100 + x, 2.3
    return random.normal(50, 2, EVENTS), 2.0


def told(events: list[dict[str, Any]]) -> tuple[set[int], list[float | None]]:
    """Places at which incidents open, and the score of each event; the events come in several batches."""
    shard, opened, scores = Shard(SETTINGS), set[int](), list[float | None]()
    for begin in range(0, len(events), 250):
        part = events[begin : begin + 250]
        result = shard.process(batch(part, offset=begin, stamps=[event["ts"] for event in part]))
        alerts = [json.loads(text)["data"] for _, text in result.alerts]
        opened |= {alert["source"]["opened_offset"] for alert in alerts if alert["state"] == "opened"}
        scores += [json.loads(text)["score"] for _, text in result.scores]
    return opened, scores


def of_one(fields: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Events of one entity, a minute apart."""
    rows = zip(*(column.tolist() for column in fields.values()), strict=True)
    return [
        {"entity": "a", "ts": START + 60_000 * i} | dict(zip(fields, row, strict=True)) for i, row in enumerate(rows)
    ]


@pytest.mark.parametrize("fields", [1, 4])
@pytest.mark.parametrize("process", ["normal", "counts", "season", "autoregressive"])
def test_a_fault_fifty_events_after_an_odd_value_is_found_and_nothing_else_is_told(process, fields):
    x, deviation = usual(process, 1)
    others = {f"f{i}": usual("normal", 10 + i)[0] for i in range(1, fields)}
    x[FAULT] += 50 * deviation
    assert told(of_one({"f0": x} | others))[0] == {FAULT}
    for odd in ODD:
        y = x.copy()
        y[AT] = odd
        opened, scores = told(of_one({"f0": y} | others))
        assert FAULT in opened, odd
        assert opened <= {AT, FAULT}, odd
        assert all(score is not None and 0 <= score <= 1 for score in scores[50:]), odd


@pytest.mark.parametrize("fields", [1, 4])
@pytest.mark.parametrize("process", ["normal", "counts", "autoregressive"])
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_an_odd_value_among_the_first_of_an_entity_blinds_nothing(place, process, fields):
    x, deviation = usual(process, 1)
    others = {f"f{i}": usual("normal", 10 + i)[0] for i in range(1, fields)}
    x[FAULT] += 50 * deviation
    for odd in ODD:
        y = x.copy()
        y[place] = odd
        assert told(of_one({"f0": y} | others))[0] == {FAULT}, odd


@pytest.mark.parametrize("odd", ODD)
def test_a_constant_field_that_changes_for_good_is_told_with_an_odd_value_before_it_and_without(odd):
    x = np.full(EVENTS, 7.0)
    x[FAULT:] = 8.0
    y = x.copy()
    y[AT] = odd
    for values in (x, y):
        opened, _ = told(of_one({"f0": values}))
        assert opened & {FAULT, FAULT + 1, FAULT + 2}


@pytest.mark.parametrize("field", ["a", "c"])
@pytest.mark.parametrize("odd", [None, *ODD])
def test_one_odd_value_of_one_entity_does_not_hide_faults_of_new_entities(odd, field):
    """The field `c` is constant. The tenth event of each new entity is 50 usual deviations away."""
    random = np.random.default_rng(0)
    owners = [f"old{e}" for _ in range(100) for e in range(20)] + [f"new{e}" for _ in range(12) for e in range(10)]
    values = random.normal(50, 2, len(owners)).tolist()
    events = [
        {"entity": owner, "ts": START + 1000 * i, "a": a, "c": 7.0}
        for i, (owner, a) in enumerate(zip(owners, values, strict=True))
    ]
    faults = set(range(2000 + 9 * 10, 2000 + 10 * 10))
    for place in faults:
        events[place]["a"] += 100
    if odd is not None:
        events[1503][field] = odd
    assert told(events)[0] >= faults
