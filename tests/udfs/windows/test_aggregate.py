"""Aggregates of windows are equal to those of pandas, whatever the order of events."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.events.records import WHOLE, Events
from streamgauge.udfs.settings.pipeline import EventWindow
from streamgauge.udfs.windows import aggregate as module
from streamgauge.udfs.windows.aggregate import KeptEvents, aggregate, sorted_within

REFERENCE = {
    "sum": "sum",
    "mean": "mean",
    "deviation": "std",
    "min": "min",
    "max": "max",
    "distinct": "nunique",
    "p50": "median",
    "p95": lambda x: x.quantile(0.95),
    "p0": "min",
}


def aggregated(entities, x, how, m):
    """An aggregate of each of `m` entities."""
    by_entity = np.argsort(entities, kind="stable")
    return aggregate(*sorted_within(x[by_entity], np.searchsorted(entities[by_entity], np.arange(m + 1))), how)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.one_of(st.just(np.nan), st.sampled_from([-1.5, 0.0, 0.1, 2.0, 7e9]))),
        max_size=40,
    ),
    st.sampled_from(sorted(REFERENCE)),
    st.randoms(use_true_random=False),
)
def test_an_aggregate_equals_that_of_pandas_and_does_not_depend_on_the_order(rows, how, random):
    entities, x = np.array([e for e, _ in rows], np.int64), np.array([v for _, v in rows], np.float64)
    actual = aggregated(entities, x, how, 4)
    frame = pd.DataFrame({"e": entities, "x": x}).dropna()
    expected = frame.groupby("e")["x"].agg(REFERENCE[how]).reindex(range(4)).to_numpy(np.float64)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-6)
    shuffled = random.sample(range(len(rows)), len(rows))
    assert aggregated(entities[shuffled], x[shuffled], how, 4).tobytes() == actual.tobytes()


def kept(rows, columns=(("x", False), ("x", True))):
    """A store that keeps events (entity, time, x) with offsets 0, 1, ..."""
    store = KeptEvents(list(columns), "0/")
    events = Events(
        np.arange(len(rows)),
        [{"x": x} for _, _, x in rows],
        [e for e, _, _ in rows],
        np.array([t for _, t, _ in rows]),
        np.full(len(rows), WHOLE),
    )
    store.add(events.entities, events.times, np.arange(len(rows)), store.read(events))
    return store


MINUTE = EventWindow.model_validate({"size": "1 m", "aggregates": {"x": ["sum", "distinct"]}})


def test_a_window_aggregates_its_events_by_entity_and_texts_count_as_distinct_values_only():
    b = [("b", 60_000, 1.0), ("b", 60_001, "k"), ("b", 61_000, "k"), ("b", 61_000, True)]
    a = [("a", 119_999, 2), ("a", 120_000, 50), ("a", 59_999, 50)]
    store = kept(b + a)
    window = store.window("m", MINUTE, 120_000)
    assert (window.start, window.end, window.entities) == (60_000, 120_000, ["a", "b"])
    assert window.columns == ["m.count", "m.x.sum", "m.x.distinct"]
    assert window.values.tolist() == [[1, 2, 1], [4, 2, 2]]
    assert (window.first.tolist(), window.last.tolist()) == ([4, 0], [4, 3])
    assert window.actual(0) == {"m.count": 1.0, "m.x.sum": 2.0, "m.x.distinct": 1.0}


def test_missing_aggregates_are_left_out():
    window = kept([("a", 0, None), ("a", 1, "text")]).window("m", MINUTE, 60_000)
    assert window.actual(0) == {"m.count": 2.0, "m.x.distinct": 1.0}


@given(st.lists(st.integers(0, 500), min_size=1, max_size=200), st.integers(0, 500), st.integers(1, 6))
def test_forgetting_keeps_the_events_that_may_still_be_needed_and_saving_restores_them(times, before, batches):
    store, saved = KeptEvents([("x", False)], "0/"), {}
    for part in np.array_split(np.array(times), batches):
        store.add([f"e{t % 3}" for t in part.tolist()], part, part, part[:, None].astype(float))
        store.save(saved)
    for key in store.forget(before):
        del saved[key]
    again = KeptEvents([("x", False)], "0/")
    again.restore({int(key[3:]): value for key, value in saved.items()})
    assert again.canonical(before) == store.canonical(before)
    assert len(store) >= sum(t >= before for t in times)
    assert store.slices(before, 1000, 7).tolist() == sorted({t // 7 * 7 for t in times if t >= before})


ROWS = st.tuples(st.sampled_from("abcd"), st.integers(0, 300_000), st.sampled_from([None, -1.5, 0.1, 7e9, "k"]))


@given(st.lists(ROWS, min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 300_000))
def test_events_that_are_kept_in_small_blocks_give_the_same_windows(rows, size, before):
    stores = []
    for block in (size, len(rows) + 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "BLOCK", block)
            stores.append(kept(rows))
    small, large = stores
    for store in stores:
        store.forget(before)
    assert len(small) <= len(large)
    assert small.canonical(before) == large.canonical(before)
    assert small.slices(before, 250_000, 7_000).tolist() == large.slices(before, 250_000, 7_000).tolist()
    for chosen in (None, ["b", "none", "d"]):
        for end in range(-(-before // 60_000) * 60_000 + 60_000, 360_001, 60_000):
            one, other = (store.window("m", MINUTE, end, chosen) for store in stores)
            assert one.entities == other.entities
            assert one.values.tobytes() == other.values.tobytes()
            assert (one.first.tolist(), one.last.tolist()) == (other.first.tolist(), other.last.tolist())


def test_entities_without_events_are_forgotten():
    store = KeptEvents([], "0/")
    for minute in range(100):
        times = np.full(60, 60_000 * minute)
        store.add([f"e{minute} {k}" for k in range(60)], times, times, np.empty((60, 0)))
        store.forget(60_000 * (minute - 2))
    assert len(store) < 300
    assert len(store.names) < 300
    window = store.window("m", EventWindow.model_validate({"size": "2 m", "every": "1 m"}), 100 * 60_000)
    assert window.entities == sorted(f"e{minute} {k}" for minute in (98, 99) for k in range(60))


@pytest.mark.parametrize(
    ("size", "every", "message"),
    [
        ("10 s", "3 s", "without a remainder"),
        ("200 s", "1 s", "1 to 100 times every"),
        ("10 s", "20 s", "1 to 100 times"),
    ],
)
def test_windows_that_do_not_fit_are_refused(size, every, message):
    with pytest.raises(ValueError, match=message):
        EventWindow.model_validate({"size": size, "every": every})
    with pytest.raises(ValueError, match="an aggregate is sum, mean"):
        EventWindow.model_validate({"size": "1 m", "aggregates": {"x": ["median"]}})


def test_sums_beyond_the_largest_float_are_the_largest():
    largest = np.finfo(np.float64).max
    for how in ("sum", "mean", "deviation"):
        found = aggregated(np.zeros(3, np.int64), np.full(3, largest), how, 1)
        assert not np.isinf(found).any()
    assert aggregated(np.zeros(2, np.int64), np.full(2, largest), "sum", 1)[0] == largest
