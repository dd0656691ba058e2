"""The kind of a stream is found from its events alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.events.stream_kind import (
    FIELDS,
    KNOWN,
    LOOK_EVERY,
    LOOK_EVERY_WHEN_KNOWN,
    RECORDS,
    SERIES,
    UNKNOWN,
    StreamKind,
    is_look,
    kinds_for,
    until_look,
)
from streamgauge.udfs.scoring.normalise import PRIOR, WIDTH, featurize
from streamgauge.udfs.settings.pipeline import FeaturizeSettings


def kind_of(X, cuts=()):
    stream, state = StreamKind(), np.zeros((1, X.shape[1], WIDTH))
    stream.widen(X.shape[1])
    for part in np.split(X, cuts or range(LOOK_EVERY, len(X), LOOK_EVERY)):
        featurize(
            state,
            np.zeros(len(part), np.int64),
            part,
            FeaturizeSettings(),
            stream.changes,
            np.zeros((part.shape[1], PRIOR)),
        )
        stream.count(len(part))
    return stream


def walk(n=2000, d=4, keep=0.9):
    X = np.random.default_rng(0).normal(size=(n, d))
    for i in range(1, n):
        X[i] += keep * X[i - 1]
    return X


def records(kind):
    random = np.random.default_rng(1)
    shape = (2000, 4)
    return {
        "normal": random.normal(size=shape),
        "heavy": random.standard_cauchy(shape),
        "rare": (random.random(shape) < 0.02) * 1.0,
        "skewed": random.lognormal(0, 2, shape),
    }[kind]


def test_one_field_is_a_series_from_the_first_event():
    assert kind_of(np.ones((1, 1))).kind == SERIES


def test_fields_whose_values_follow_each_other_are_in_order():
    assert kind_of(walk()).kind == FIELDS


@pytest.mark.parametrize("kind", ["normal", "heavy", "rare", "skewed"])
def test_independent_events_are_records_however_they_are_distributed(kind):
    assert kind_of(records(kind)).kind == RECORDS


def test_the_kind_of_several_fields_is_unknown_at_first():
    assert kind_of(walk(LOOK_EVERY - 1)).kind == UNKNOWN


def test_members_for_several_fields_run_while_the_kind_is_unknown():
    assert kinds_for(("series",)) == {SERIES}
    assert kinds_for(("fields",)) == {FIELDS, UNKNOWN}
    assert kinds_for(("series", "records")) == {SERIES, RECORDS, UNKNOWN}


def test_a_restored_kind_goes_on_as_if_never_stopped():
    before, after = kind_of(walk(1500), cuts=[1000]), StreamKind()
    after.restore(before.to_state())
    assert after.to_state() == before.to_state()
    assert after.kind == FIELDS


@given(st.integers(0, 2 * KNOWN))
def test_the_next_look_is_the_next_number_of_events_at_which_the_kind_is_decided(events):
    step = until_look(events)
    assert 1 <= step <= LOOK_EVERY_WHEN_KNOWN
    assert is_look(events + step)
    assert not any(is_look(events + k) for k in range(1, step))


def test_a_known_stream_is_looked_at_less_often():
    assert [until_look(n) for n in (0, 1, KNOWN - 1, KNOWN, KNOWN + 1)] == [200, 199, 1, 1000, 999]
