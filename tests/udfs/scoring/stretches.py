"""Stretches of events for tests of detectors, and the settings of a few detectors."""

from __future__ import annotations

import numpy as np
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.events.records import WHOLE, Events
from streamgauge.udfs.scoring.detectors import EntityState
from streamgauge.udfs.scoring.normalise import CHANNELS
from streamgauge.udfs.settings.detectors import DetectorSettings

START = 1_760_000_400_000
ENTITIES = 10
QUARTER = 900_000


def only(**chosen):
    """Settings with these detectors and no others."""
    return DetectorSettings.model_validate(dict.fromkeys(DetectorSettings.model_fields) | chosen)


def values(n, fields=2, seed=0):
    """Values of ten entities in turn, which follow a common wave."""
    random = np.random.default_rng(seed)
    wave = 5.0 * np.sin(np.arange(n) // ENTITIES / 7.0)[:, None]
    return wave + random.normal(0.0, 0.5, (n, fields)) + 10.0 * (np.arange(n) % ENTITIES)[:, None]


def stretch_of(X, every=1000, quarantined=(), slots=None, rows=None, first_times=True):
    """Events of ten entities in turn, `every` milliseconds from one turn to the next; the entities in `quarantined` are."""
    n = len(X)
    places = np.arange(n)
    rows = places % ENTITIES if rows is None else np.asarray(rows)
    times = START + every * (places // ENTITIES)
    first = np.zeros(n, np.bool_)
    first[np.unique(rows, return_index=True)[1]] = first_times
    return Stretch(
        Events(places, [{}] * n, [f"e{row}" for row in rows], times, np.full(n, WHOLE)),
        np.asarray(X, dtype=np.float64),
        places,
        np.zeros(n, np.int64),
        rows,
        1 + places // ENTITIES,
        np.isin(rows, quarantined),
        rows.copy() if slots is None else np.asarray(slots),
        first,
        first,
        times,
    )


def state_for(detectors, fields=2):
    return EntityState(
        np.zeros((ENTITIES, fields, detectors.width)), np.zeros((ENTITIES, fields, detectors.rich_width))
    )


def detect(detectors, stretch, kind="fields", state=None, features=None, categories=None):
    n, d = stretch.X.shape
    features = np.full((n, CHANNELS * d), np.nan) if features is None else features
    categories = np.empty((n, 0)) if categories is None else categories
    state = state_for(detectors, d) if state is None else state
    return detectors.detect(kind, stretch, state, features, categories)


def empty_state(detector, fields=2):
    return np.zeros((ENTITIES, fields, detector.numbers_per_feature))


def same(actual, expected):
    """Whether arrays are equal, and say something."""
    np.testing.assert_array_equal(actual, expected)
    assert np.isfinite(expected).any()
