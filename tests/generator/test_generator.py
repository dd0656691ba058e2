"""What the generator promises about its streams."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from tests.generator.faults import BAD, FAULTS
from tests.generator.processes import PROCESSES
from tests.generator.streams import START, Recipe, faulty, make

PAIRS = [(process, name) for name, fault in FAULTS.items() for process in sorted(fault.on)]


@pytest.mark.parametrize("process", PROCESSES)
def test_a_seed_gives_one_stream_and_another_seed_gives_another(process):
    one, same, other = (make(Recipe(process, entities=4, seed=seed, days=2)) for seed in (1, 1, 2))
    assert (one.fields["value"] == same.fields["value"]).all()
    assert (one.fields["value"] != other.fields["value"]).any()
    assert one.planted == []


@pytest.mark.parametrize(("process", "fault"), [pair for pair in PAIRS if pair[1] != "broken_relation"])
def test_a_fault_changes_nothing_before_it_and_nothing_elsewhere(process, fault):
    calm, hurt = (make(Recipe(process, name, entities=8, days=10)) for name in (None, fault))
    assert hurt.planted, "the fault finds no place"
    assert {p.entity for p in hurt.planted} <= set(range(faulty(8)))
    changed = hurt.fields["value"] != calm.fields["value"]
    for p in hurt.planted:
        assert 0.5 * len(hurt.times) <= p.first <= p.last < len(hurt.times)
        assert changed[p.first : p.last + 1, p.entity].any()
    for entity in range(8):
        first = min((p.first for p in hurt.planted if p.entity == entity), default=len(hurt.times))
        assert not changed[: first - 1, entity].any()  # a flat line begins with the value that repeats


@pytest.mark.parametrize("process", sorted(FAULTS["broken_relation"].on))
def test_a_broken_relation_is_six_sigma_of_the_relation_and_usual_for_each_field(process):
    hurt = make(Recipe(process, "broken_relation", entities=8, days=10))
    assert hurt.planted
    for p in hurt.planted:
        broken = slice(p.first, p.last + 1)
        a, b = (hurt.fields[name][:, p.entity] for name in ("a", "b"))
        noise = b - 2 * a
        sigma = np.std(np.delete(noise, np.arange(p.first, p.last + 1)))
        assert np.abs(noise[broken]).min() > 5.5 * sigma
        assert np.abs(np.delete(noise, np.arange(p.first, p.last + 1))).max() < 5.5 * sigma
        assert b[: p.first].min() - 6 * sigma < b[broken].min() <= b[broken].max() < b[: p.first].max() + 6 * sigma


@pytest.mark.parametrize("process", ["gaussian", "daily", "weekly", "trend", "beat", "ar99", "random_walk"])
def test_a_spike_of_six_sigma_is_six_usual_variations(process):
    """Measured against the deviations of all normal values from what was expected of them."""
    hurt, calm = (make(Recipe(process, name, entities=20, days=10)) for name in ("spike", None))
    normal = PROCESSES[process].make(
        np.random.default_rng([0, 20, *process.encode()]), hurt.times, 20
    )  # as `make` begins
    residuals = calm.deviations - normal.expected
    assert np.std(residuals[200:]) == pytest.approx(1.0, abs=0.02)
    for p in hurt.planted:
        assert hurt.deviations[p.first, p.entity] - normal.expected[p.first, p.entity] == pytest.approx(6.0)


@pytest.mark.parametrize("process", ["student_t", "lognormal", "zero_inflated", "integers"])
def test_a_spike_is_as_rare_as_six_sigma_whatever_the_distribution(process):
    normal = PROCESSES[process].make(np.random.default_rng(0), START + 300_000 * np.arange(20_000), 50)
    residuals = normal.deviations - normal.expected
    for sigmas in (2.0, 3.0):
        size = PROCESSES[process].size(sigmas)
        if process == "lognormal":
            size -= 1.0  # its size is counted from zero
        share = (residuals > size * (1 + 1e-9)).mean()
        # counts step over the exact probability; zeros make counts rarer
        lowest = 0.9 if process in ("student_t", "lognormal") else 0.1
        assert lowest * norm.sf(sigmas) < share < 1.1 * norm.sf(sigmas)


def test_planted_runs_are_what_their_names_say():
    stuck = make(Recipe("gaussian", "stuck", entities=4, days=10))
    p = stuck.planted[0]
    assert np.ptp(stuck.fields["value"][p.first - 1 : p.last + 1, p.entity]) == 0
    burst = make(Recipe("gaussian", "variance_burst", entities=4, days=10))
    p = burst.planted[0]
    assert np.std(burst.deviations[p.first : p.last + 1, p.entity]) == pytest.approx(4.0, rel=0.3)
    jump = make(Recipe("random_walk", "jump", entities=4, days=10))
    p = jump.planted[0]
    before = jump.deviations[: p.first, p.entity]
    assert before.min() < jump.deviations[p.first, p.entity] < before.max()
    assert abs(jump.deviations[p.first, p.entity] - before[-1]) > 3.0
    again = make(Recipe("gaussian", "repeated_outage", entities=4, days=14))
    assert sum(p.entity == 0 for p in again.planted) >= 4


def test_bad_values_are_raw_and_a_usual_fault_follows():
    hurt = make(Recipe("gaussian", "bad_value", entities=40, days=10))
    found = {hurt.fields["value"][p.first, p.entity] for p in hurt.planted}
    assert len(found & set(BAD)) >= 2
    assert len(hurt.planted) == 2 * faulty(40)


def test_entities_join_later_and_send_nothing_before():
    stream = make(Recipe("gaussian", entities=20, days=2, joining=0.25))
    assert (stream.begins > 0).sum() == 5
    steps, entities = stream.places()
    assert len(steps) == (len(stream.times) - stream.begins).sum()
    rows = list(stream.rows())
    assert sum(map(len, rows)) == len(steps)
    assert not any(part.fields["value"].null_count for part in rows)
    assert rows[0].times[0] == START
    assert rows[0].entities[:15] == stream.names[:15]
    assert (np.diff(np.concatenate([part.times for part in rows])) >= 0).all()
    assert np.isnan(stream.fields["value"][0, 15:]).all()
    assert (np.bincount(entities) == len(stream.times) - stream.begins).all()


def test_two_thousand_entities():
    stream = make(Recipe("integers", "spike", entities=2000, days=2, step=3_600_000))
    assert stream.fields["value"].shape == (48, 2000)
    assert len(stream.planted) == faulty(2000) == 50
