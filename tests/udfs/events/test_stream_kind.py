"""The kind of a stream is found from its events alone."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.udfs.events.stream_kind import FIELDS, LOOK_EVERY, RECORDS, SERIES, UNKNOWN, StreamKind, kinds_for
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
    assert (after.kind, after.until_next_look()) == (FIELDS, LOOK_EVERY - 1500 % LOOK_EVERY)
