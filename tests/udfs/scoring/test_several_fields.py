"""Events of several fields: faults that last for days do not hide the next fault."""

from __future__ import annotations

import json

import numpy as np
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import START, Run, batch

ENTITIES, STEPS, FIELDS = 10, 2_000, 4
MINUTES_5 = 300_000


def test_a_large_spike_is_told_while_other_entities_have_been_faulty_for_days():
    random = np.random.default_rng(6)
    x = random.normal(0, 1, (STEPS, ENTITIES, FIELDS))
    for entity, field in ((0, 1), (8, 0), (9, 3)):  # drift away, and stay there
        x[600:1500, entity, field] += np.linspace(0, 4, 900)
        x[1500:, entity, field] += 4.0
    for entity, begin in ((1, 700), (2, 900), (3, 1100)):
        x[begin : begin + 90, entity, 2] += 3.0
    spikes = [(1900, 5, 0), (1930, 6, 2), (1960, 7, 3)]
    for step, entity, field in spikes:
        x[step, entity, field] = 9.0
    events = [
        {"entity": f"e{entity}"} | {f"f{k}": float(value) for k, value in enumerate(x[step, entity])}
        for step in range(STEPS)
        for entity in range(ENTITIES)
    ]
    stamps = np.repeat(START + MINUTES_5 * np.arange(STEPS), ENTITIES)
    run = Run(PipelineSettings()).feed(batch(events, stamps=stamps), list(range(2_000, len(events), 2_000)))
    told = [json.loads(text)["data"] for _, text in run.alerts]
    found = {
        (
            data["source"]["offset"] // ENTITIES,
            int(data["entity"][1:]),
            max(data["contributions"], key=data["contributions"].get),
        )
        for data in told
        if data["state"] == "opened"
    }
    assert {(step, entity, f"f{field}") for step, entity, field in spikes} <= found
