"""The state of entities is saved as segments of the rows that changed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.models.errors import StateError
from streamgauge.udfs.entities.columns import HISTORY, LEVEL_COLUMNS, RELEASED, SEEN, SLOT, STATUS
from streamgauge.udfs.entities.entity_store import EntityStore

HOUR = 3_600_000


def touch(store, names, times, late_after=HOUR, forget_after=24 * HOUR):
    rows = store.rows(names, 2)
    return rows, *store.touch(rows, np.array(times, dtype=np.int64), late_after, forget_after, False)[:3]


def save(store, saved, rows):
    writes, deletes = {}, []
    store.segment([rows], [], "e", writes, deletes)
    for key in deletes:
        del saved[key]
    saved |= writes


def restored(saved):
    store = EntityStore(3)
    store.restore([(int(key[1:]), value) for key, value in saved.items()])
    return store


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=20), min_size=1, max_size=15), st.integers(0, 99))
def test_a_restored_store_equals_the_one_that_was_saved(batches, seed):
    random = np.random.default_rng(seed)
    store, saved, time = EntityStore(3), {}, 1
    for batch in batches:
        rows, *_ = touch(store, [f"e{i}" for i in batch], time + np.arange(len(batch)))
        time += len(batch)
        store.fields[rows] += random.normal(size=(len(rows), 2, 3))
        store.head[rows[0], STATUS:] = random.integers(0, 2)
        store.levels[rows[0]] = store.head[rows[0], STATUS] * random.normal(size=LEVEL_COLUMNS)
        save(store, saved, rows)
    assert restored(saved).canonical() == store.canonical()


def test_the_saved_segments_stay_in_proportion_to_the_entities():
    store, saved = EntityStore(3), {}
    random = np.random.default_rng(0)
    for turn in range(400):
        rows, *_ = touch(store, [f"e{i}" for i in random.integers(0, 20_000, 500)], np.full(500, turn + 1))
        save(store, saved, rows)
    assert len(store) > 19_000
    assert sum(len(rows) for rows in store._segments.values()) <= 1.5 * len(store) + 1024 + 500
    assert restored(saved).canonical() == store.canonical()
    assert sum(map(len, saved.values())) / len(store) < 512


def test_late_events_do_not_change_the_entity():
    store = EntityStore(3)
    rows, done, late, seen = touch(store, ["a", "a", "a", "b"], [2 * HOUR, HOUR, HOUR - 1, 0])
    assert (done, late.tolist(), seen.tolist()) == (4, [0, 0, HOUR + 1, 0], [1, 2, 0, 1])
    assert store.head[rows[0], SEEN] == 2


def test_counting_stops_before_an_entity_starts_from_the_beginning_in_the_middle_of_a_batch():
    store = EntityStore(3)
    rows, done, _, _ = touch(store, ["a", "b", "a"], [1, 2, 30 * HOUR])
    assert done == 2
    done, _, seen, _ = store.touch(rows[2:], np.array([30 * HOUR]), HOUR, 24 * HOUR)
    assert (done, seen.tolist()) == (1, [1])


def test_counting_stops_before_an_entity_with_an_open_incident_starts_from_the_beginning():
    store = EntityStore(3)
    rows, *_ = touch(store, ["a", "b"], [1, 2])
    store.head[rows[0], STATUS] = 1
    assert touch(store, ["b", "a"], [30 * HOUR, 30 * HOUR])[1] == 1
    store.head[rows[0], STATUS] = 0  # the caller has ended it
    assert touch(store, ["a"], [30 * HOUR])[1] == 1


def test_rows_of_forgotten_entities_are_used_again():
    store = EntityStore(3)
    rows, *_ = touch(store, ["a", "b", "c"], [1, 30 * HOUR, 40 * HOUR])
    store.head[rows[0], SLOT] = 8
    gone, slots = store.forget(store.absent(24 * HOUR))
    assert (gone, slots.tolist()) == (["a"], [7])
    assert sorted(store.index) == ["b", "c"]
    again, *_ = touch(store, ["d"], [40 * HOUR])
    assert again[0] == rows[0]
    assert not store.fields[again].any()


def test_an_entity_may_be_forgotten_twice_between_two_saves():
    store, saved, gone = EntityStore(3), {}, []
    save(store, saved, touch(store, ["a", "b"], [1, 2])[0])
    for _ in range(2):
        rows, *_ = touch(store, ["a"], [3])
        gone += store.forget(rows)[0]
    store.segment([], gone, "e", saved, [])
    assert restored(saved).canonical() == store.canonical()


def test_segments_of_another_width_are_refused():
    store, saved = EntityStore(3), {}
    save(store, saved, touch(store, ["a"], [1])[0])
    with pytest.raises(StateError, match="3 numbers for each field, their header says 5"):
        EntityStore(5).restore([(1, saved["e1"])])


def test_of_segments_of_another_generation_counts_and_incidents_are_read():
    store, saved = EntityStore(3), {}
    rows, *_ = touch(store, ["a", "b", "a"], [1, 2, 3])
    store.fields[rows] = 7.0
    store.head[rows, SLOT] = store.head[rows, HISTORY] = 1
    store.head[rows[0], STATUS] = 5
    save(store, saved, rows)
    later = EntityStore(5)
    later.generation = 1
    later.restore([(1, saved["e1"])])
    head = {name: later.head[later.index[name]] for name in ("a", "b")}
    assert (head["a"][SEEN], head["a"][STATUS], head["a"][RELEASED]) == (2, 5, 1)
    assert (head["b"][SEEN], head["b"][STATUS], head["b"][RELEASED]) == (1, 0, 0)
    assert not any(head[name][[SLOT, HISTORY]].any() for name in head)
    assert not later.fields.any()
    row = touch(later, ["b"], [9])[0]
    later.fields[row] = 8.0
    save(later, saved, row)
    again = EntityStore(5)
    again.generation = 1
    again.restore([(1, saved["e1"]), (2, saved["e2"])])
    assert again.canonical() == later.canonical()
    assert again.fields[again.index["b"]].all()
    assert not again.fields[again.index["a"]].any()


def test_beyond_the_cap_the_least_recent_are_forgotten_and_an_open_incident_protects_none():
    store = EntityStore(3)
    names = [f"e{i}" for i in range(40)]
    rows, *_ = touch(store, names, [i // 4 for i in range(40)])  # four of each age
    store.head[rows[0], STATUS] = 1
    gone, _ = store.forget(store.least_recent(20))
    assert store.known == 19
    assert sorted(gone) == sorted([*names[:20], "e20"])  # among equal ages, by name


def test_which_entities_are_forgotten_does_not_depend_on_their_rows():
    names = [f"e{i}" for i in range(30)]
    gone = []
    for order in (names, names[::-1]):
        store = EntityStore(3)
        touch(store, order, [5] * 30)
        gone.append(sorted(store.forget(store.least_recent(20))[0]))
    assert gone[0] == gone[1]


def test_incidents_that_were_saved_before_they_had_severities_are_restored():
    old, writes = EntityStore(2), {}
    rows = old.rows(["a", "b"], 1)
    old.touch(rows, np.arange(2), 100, 100)
    old.head[rows[1], STATUS] = 17
    old.levels[rows[1], 0] = 9.5
    old.head, old.levels = old.head[:, :20], old.levels[:, :7]
    old.segment([rows], [], "e", writes, [])
    new = EntityStore(2)
    new.restore([(1, writes["e1"])])
    row = new.index["b"]
    assert (new.head[row, STATUS], new.levels[row, 0]) == (17, 9.5)
    assert not new.head[row, 20:].any()
    assert not new.levels[row, 7:].any()
