"""A device whose clock is wrong changes what is known of itself only, never of others."""

from __future__ import annotations

import json

import numpy as np
import pytest
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import SMALL, START, Run, batch

HOUR = 3_600_000
DAY = 24 * HOUR
EVERY = 1_000
CHOSEN = PipelineSettings.model_validate(
    SMALL.model_dump()
    | {
        "entity": {"forget_after": "1 h"},
        "silence": {"at_least": "20 s", "events": 3},
        "windows": {"minute": {"size": "1 m", "aggregates": {"x": ["mean"]}}},
    }
)


def fleet(ahead: int | None, n: int = 400, at: int = 200, begin: int = START):
    """Events of ten devices, a second apart; one event of the device `wrong` has a time that is `ahead` of its arrival."""
    random = np.random.default_rng(0)
    values = [{"entity": f"d{i % 10}", "x": float(random.normal(5, 1)), "ts": begin + i * EVERY} for i in range(n)]
    values[at]["entity"] = "wrong"
    if ahead is not None:
        values[at]["ts"] += ahead
    return batch(values, stamps=begin + EVERY * np.arange(n))


def others(records):
    """Records about all but the device `wrong`."""
    return sorted(record for record in records if b'"wrong"' not in record[1])


def told(run):
    """Entity, change and place of each alert about all but the device `wrong`; the promise in it depends on all events."""
    alerts = [json.loads(text) for _, text in others(run.alerts)]
    return [(alert["data"]["entity"], alert["type"], alert["data"]["source"]) for alert in alerts]


@pytest.mark.parametrize("ahead", [HOUR, 12 * HOUR, 23 * HOUR, 60 * DAY, -12 * HOUR], ids=lambda a: f"{a // HOUR} h")
def test_a_wrong_time_of_one_device_restarts_silences_and_delays_no_other(ahead):
    usual, wrong = Run(CHOSEN).feed(fleet(None)), Run(CHOSEN).feed(fleet(ahead), [150, 201, 300])
    if 0 < ahead < DAY:  # otherwise the event is a dead letter or late, and nothing is learned from it
        assert others(wrong.scores) == others(usual.scores)
    assert len(others(wrong.scores)) == len(others(usual.scores))
    assert told(wrong) == told(usual)
    late = [json.loads(text) for _, text in wrong.late]
    assert all(record["offset"] == 200 for record in late)
    dead = [json.loads(text) for _, text in wrong.dead]
    assert all((letter["offset"], letter["reason"]) == (200, "time_out_of_range") for letter in dead)
    assert len(dead) == (abs(ahead) > DAY)
    stores = [run.shard.partitions[0].stages.entities.store for run in (usual, wrong)]
    for store in stores:
        assert store.known == 11 - (store is stores[1] and not 0 < ahead < DAY)
    assert stores[0].clock == stores[1].clock


@pytest.mark.parametrize("year", [2038, 2040, 2106, 2200])
def test_times_beyond_32_bits_are_times_like_others(year):
    begin = int((year - 1970) * 365.2425 * DAY)
    run = Run(CHOSEN).feed(fleet(None, begin=begin), [150])
    assert (run.counts["events"], run.late, run.dead) == (400, [], [])
    assert len(run.scores) >= 400


def test_a_pause_of_decades_is_a_pause():
    run = Run(CHOSEN).feed(fleet(None))
    later = fleet(None, begin=START + 20 * 365 * DAY)
    later.offsets = later.offsets + 400
    assert len(run.feed(later).late) == 0
