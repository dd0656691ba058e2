"""Checks that every fitted detector in the catalogue must pass. Fitted detectors are trained once, and then only score.

A check gets the class of the detector and its settings. Detectors of sequences score runs of events.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import pytest
from streamgauge.models.contract import MOST_BYTES, Floats
from streamgauge.models.detectors.fitted.fitted_detector import FittedDetector, windows
from streamgauge.models.detectors.fitted.synthetic_anomalies import separation
from streamgauge.models.errors import NotReadyError, StateError, WidthError

Kind = type[FittedDetector]
Settings = dict[str, Any]
STRANGE = 0.05  # share of anomalies in a contaminated history

EXEMPT: dict[str, dict[str, str]] = {
    "imported_network": {"check_a_contaminated_history_does_not_harm": "it is trained elsewhere"},
}


def waves(n: int = 700, d: int = 3, seed: int = 0) -> Floats:
    """Usual events: waves that the fields share, with noise."""
    random = np.random.default_rng(seed)
    t = np.arange(n)[:, None] + 100 * seed
    return np.sin(t / 6.0 + 0.4 * np.arange(d)) + 0.05 * random.standard_normal((n, d)) + 5.0


def damaged_waves() -> Floats:
    """Waves with missing values and an infinity."""
    X = waves(300)
    X[np.random.default_rng(1).random(X.shape) < 0.1] = np.nan
    X[10, 0] = np.inf
    return X


def trained(kind: Kind, settings: Settings, X: Floats | None = None) -> FittedDetector:
    """A detector trained on waves, or on `X`. The same training is done only once for all checks."""
    X = waves() if X is None else X
    return kind.from_state(_trained_state(kind, json.dumps(settings), X.shape, X.tobytes()))


@functools.lru_cache(maxsize=64)
def _trained_state(kind: Kind, settings: str, shape: tuple[int, ...], data: bytes) -> bytes:
    return kind(**json.loads(settings)).fit(np.frombuffer(data).reshape(shape)).to_state()


def briefly(kind: Kind, settings: Settings) -> Settings:
    """Settings for a short training, for checks that do not need a good detector."""
    brief = {"epochs": 2, "components": 3}
    return settings | {name: value for name, value in brief.items() if name in kind().settings()}


def given(detector: FittedDetector, X: Floats) -> Floats:
    """Events in the form that the detector scores."""
    return windows(X, None, detector.steps, len(X)) if detector.sequence else X


def ending(detector: FittedDetector, event: Floats, seed: int = 7) -> Floats:
    """Events in the form that the detector scores: each run has usual events, and ends with a given event."""
    event = np.atleast_2d(event)
    if not detector.sequence:
        return event
    runs = np.repeat(windows(waves(60, event.shape[1], seed), None, detector.steps, 60)[:1], len(event), axis=0)
    runs[:, -1] = event
    return runs


def check_scores_run_from_0_to_1_and_high_is_anomalous(kind: Kind, settings: Settings) -> None:
    detector = trained(kind, settings)
    usual = detector.score_many(given(detector, waves(seed=1)))
    strange = detector.score_many(ending(detector, np.full(3, 12.0)))
    assert usual.dtype == np.float64
    assert 0 <= usual.min() <= usual.max() <= 1
    assert strange[0] > np.quantile(usual, 0.98)


def check_a_planted_anomaly_is_found(kind: Kind, settings: Settings) -> None:
    detector = trained(kind, settings)
    X = waves(200, seed=3)
    X[150] = [7.0, 3.0, 8.0]
    scores = detector.score_many(given(detector, X))
    hit = int(np.argmax(scores)) + (detector.steps - 1 if detector.sequence else 0)
    assert 150 <= hit < 150 + detector.steps


def check_scoring_is_pure(kind: Kind, settings: Settings) -> None:
    detector = trained(kind, settings)
    before = detector.to_state()
    X = given(detector, waves(100, seed=1))
    first = detector.score_many(X)
    detector.explain_many(X[:5])
    detector.expected_many(X[:5])
    assert detector.to_state() == before
    np.testing.assert_array_equal(detector.score_many(X), first)


def check_an_events_score_does_not_depend_on_its_batch(kind: Kind, settings: Settings) -> None:
    detector = trained(kind, settings)
    X = given(detector, waves(400, seed=1))
    whole = detector.rate_many(X)
    parts = [detector.rate_many(part) for part in np.split(X, [1, 2, 9, 73, 74, 137, 300])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert detector.rate_many(X[:0]).shape == (0,)


def check_state_round_trip(kind: Kind, settings: Settings) -> None:
    detector = trained(kind, settings)
    again = kind.from_files(detector.to_files())
    X = given(detector, waves(100, seed=1))
    np.testing.assert_array_equal(again.score_many(X), detector.score_many(X))
    np.testing.assert_array_equal(again.explain_many(X[:5]), detector.explain_many(X[:5]))
    assert again.to_state() == detector.to_state()
    assert again.settings() == detector.settings()


def check_foreign_and_damaged_artefacts_are_refused(kind: Kind, settings: Settings) -> None:
    files = trained(kind, settings).to_files()
    state = files["arrays.bin"]
    for wrong in (
        {},
        {**files, "arrays.bin": b""},
        {**files, "arrays.bin": state[:-1] + bytes([state[-1] ^ 1])},
        {**files, "arrays.bin": state[:50]},
        {**files, "arrays.bin": state.replace(kind.name.encode(), b"x" * len(kind.name))},
    ):
        with pytest.raises(StateError):
            kind.from_files(wrong)
    for name in set(files) - {"arrays.bin"}:
        with pytest.raises(StateError, match="no file"):
            kind.from_files({"arrays.bin": state})
        broken = kind.from_files({**files, name: files[name][:100]})
        with pytest.raises(StateError, match="cannot be loaded"):
            broken.score_many(given(broken, waves(50)))


def check_same_seed_same_scores(kind: Kind, settings: Settings) -> None:
    X, brief = waves(300), briefly(kind, settings)
    first, second = trained(kind, brief, X), kind(**brief).fit(X)
    np.testing.assert_array_equal(first.score_many(given(first, X)), second.score_many(given(second, X)))


def check_not_ready_is_an_error(kind: Kind, settings: Settings) -> None:
    detector = kind(**settings)
    assert not detector.ready
    with pytest.raises(NotReadyError, match="needs training"):
        detector.score_many(np.zeros((1, 3)))
    with pytest.raises(NotReadyError, match=r"needs \d+ rows .* there are 5"):
        detector.fit(waves(5))
    assert not detector.ready


def check_wrong_width_is_refused(kind: Kind, settings: Settings) -> None:
    detector = trained(kind, settings)
    for wrong in (np.zeros(3), np.zeros((2, 4)), np.zeros((2, detector.steps + 1, 3))):
        for call in (detector.rate_many, detector.score_many, detector.explain_many, detector.expected_many):
            with pytest.raises(WidthError, match=kind.name):
                call(wrong)
    with pytest.raises(WidthError, match="matrix"):
        kind(**settings).fit(np.zeros(3))


def check_missing_values_are_survived(kind: Kind, settings: Settings) -> None:
    X = damaged_waves()
    detector = trained(kind, briefly(kind, settings), X)
    events = given(detector, X)
    assert np.isfinite(detector.score_many(events)).all()
    assert np.isfinite(detector.explain_many(events[:20])).all()
    assert np.isfinite(detector.score_many(np.full_like(events[:1], np.nan))).all()


def check_constant_fields_are_survived(kind: Kind, settings: Settings) -> None:
    X = waves(300)
    X[:, 1] = 0.25
    detector = trained(kind, briefly(kind, settings), X)
    usual = given(detector, X)[250:251]
    strange = usual.copy()
    strange[..., 1] = np.where(np.arange(detector.steps) == detector.steps - 1, 40.0, 0.25)
    assert detector.score_many(usual)[0] <= detector.score_many(strange)[0] <= 1


def check_widths(kind: Kind, settings: Settings) -> None:
    for d in (1, 512):
        detector = trained(kind, briefly(kind, settings), waves(150, d))
        events = given(detector, waves(40, d, 1))
        assert np.isfinite(detector.score_many(events)).all()
        assert detector.explain_many(events[:2]).shape == (2, d)
        size = sum(map(len, detector.to_files().values()))
        assert 0.5 * size < kind.bytes_for(d, **detector.settings()) + 20_000
        assert kind.bytes_for(d, **detector.settings()) < MOST_BYTES


def check_explanations_add_up_and_name_the_field(kind: Kind, settings: Settings) -> None:
    detector = trained(kind, settings)
    event = waves(60, seed=7)[detector.steps - 1].copy()
    event[1] += 4.0
    events = ending(detector, np.array([event, event]))
    parts = detector.explain_many(events)
    assert (parts >= 0).all()
    np.testing.assert_allclose(parts.sum(axis=1), detector.score_many(events), rtol=1e-9)
    assert parts[0].argmax() == 1
    assert abs(detector.expected_many(events)[0, 1] - event[1]) > 1.0


def check_scale_does_not_matter(kind: Kind, settings: Settings) -> None:
    X, brief = waves(300), briefly(kind, settings)
    plain = trained(kind, brief, X)
    expected = plain.score_many(given(plain, X))
    scaled_X = X * np.array([2.0**-40, 1.0, 2.0**40])  # powers of two: no rounding
    scaled = trained(kind, brief, scaled_X)
    np.testing.assert_allclose(scaled.score_many(given(scaled, scaled_X)), expected, rtol=1e-6, atol=1e-9)


def check_infinity_is_scored_as_a_large_value(kind: Kind, settings: Settings) -> None:
    detector = trained(kind, settings)
    far, infinite = (detector.score_many(ending(detector, np.array([x, 5.0, 5.0]))) for x in (1e9, np.inf))
    np.testing.assert_array_equal(far, infinite)
    dirty = trained(kind, briefly(kind, settings), damaged_waves())
    assert np.isfinite(dirty.score_many(given(dirty, waves(50)))).all()


def check_a_contaminated_history_does_not_harm(kind: Kind, settings: Settings) -> None:
    random = np.random.default_rng(5)
    strange = 5.0 + random.uniform(3.0, 6.0, (200, 3)) * random.choice([-1, 1], (200, 3))
    X = waves(1200)
    places = random.choice(np.arange(200, 1200), int(STRANGE * 1200), replace=False)
    X[places] = strange[: len(places)]
    detector = trained(kind, settings | {"trim": 2 * STRANGE}, X)
    usual = detector.rate_many(given(detector, waves(seed=2)))
    seen = detector.rate_many(ending(detector, strange[100:]))
    assert separation(usual, seen) > 0.95


CHECKS = {name: check for name, check in list(globals().items()) if name.startswith("check_")}
