"""Checks that every detector in the catalogue must pass.

A check gets a function that makes a detector with small windows. `EXEMPT` names the exceptions, each with its reason.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from streamgauge.models.contract import Detector, Floats
from streamgauge.models.errors import NotReadyError, StateError, WidthError
from streamgauge.models.persistence.codec import unpack

Make = Callable[[], Detector]

EXEMPT: dict[str, dict[str, str]] = {
    "first_seen_category": {
        "check_scores_run_from_0_to_1_and_high_is_anomalous": "its columns are categories, and each number would be a new category",
        "check_a_planted_anomaly_is_found": "as above; test_first_seen_category has its own test for this",
        "check_explanations_name_the_field": "as above",
        "check_explanations_add_up_to_the_score": "a known category scores 0, which is split evenly over no field",
        "check_infinity_is_scored_as_a_large_value": "infinity is one category among others",
        "check_scale_does_not_matter": "a category has no scale",
        "check_a_large_offset_does_not_matter": "as above",
    },
    "day_profile": dict.fromkeys(
        (
            "check_scores_run_from_0_to_1_and_high_is_anomalous",
            "check_a_planted_anomaly_is_found",
            "check_scoring_is_pure",
            "check_not_ready_is_an_error",
            "check_missing_values_are_survived",
            "check_constant_input",
            "check_widths",
            "check_explanations_add_up_to_the_score",
            "check_explanations_name_the_field",
            "check_infinity_is_scored_as_a_large_value",
        ),
        "the events of a check lie within one day, and a profile needs a day; test_day_profile has its own tests",
    ),
    "runs": {
        "check_a_planted_anomaly_is_found": "a single value is no run",
        "check_explanations_name_the_field": "as above",
    },
    "lasting_mean": {
        "check_a_planted_anomaly_is_found": "a value that is far away by itself does not count for the mean",
        "check_explanations_name_the_field": "as above",
        "check_scores_run_from_0_to_1_and_high_is_anomalous": "as above",
    },
    "relations": dict.fromkeys(
        ("check_scale_does_not_matter", "check_a_large_offset_does_not_matter"),
        "its columns are deviations, in standard deviations of each entity",
    ),
    "cusum": {"check_a_planted_anomaly_is_found": "a single value is no run, even if it deviates much"},
    "slow_drift": {
        "check_scores_run_from_0_to_1_and_high_is_anomalous": "a single value is no drift, even if it deviates much",
        "check_explanations_name_the_field": "as above",
    },
    "peer_deviation": {
        "check_scores_run_from_0_to_1_and_high_is_anomalous": "a single value is no lasting difference from the peers",
        "check_a_planted_anomaly_is_found": "as above",
        "check_explanations_name_the_field": "as above",
    },
    "flat_line": {
        "check_scores_run_from_0_to_1_and_high_is_anomalous": "a single value is no flat line",
        "check_a_planted_anomaly_is_found": "as above",
        "check_explanations_name_the_field": "as above",
    },
    "half_space_trees": {
        "check_scale_does_not_matter": "its features must be in [0, 1]; the normalisation before it ensures that",
        "check_a_large_offset_does_not_matter": "as above",
        "check_infinity_is_scored_as_a_large_value": "its features must be in [0, 1], and decoding refuses infinities",
        "check_events_without_fields_are_survived": "a tree needs features to split on; the job never calls it without",
    },
    "river_half_space_trees": {
        "check_scale_does_not_matter": "as half_space_trees",
        "check_a_large_offset_does_not_matter": "as half_space_trees",
        "check_infinity_is_scored_as_a_large_value": "as half_space_trees",
        "check_events_without_fields_are_survived": "as half_space_trees",
    },
}


def data(n: int = 300, d: int = 3, seed: int = 0) -> Floats:
    """Usual events, in [0, 1]."""
    return np.clip(np.random.default_rng(seed).normal(0.5, 0.05, (n, d)), 0, 1)


def check_scores_run_from_0_to_1_and_high_is_anomalous(make: Make) -> None:
    detector = make()
    detector.learn_many(data())
    usual, strange = detector.score_many(data(seed=1)), detector.score_many(np.full((1, 3), 0.98))
    assert usual.shape == (300,)
    assert usual.dtype == np.float64
    assert 0 <= usual.min() <= usual.max() <= 1
    assert strange[0] > np.quantile(usual, 0.95)


def check_a_planted_anomaly_is_found(make: Make) -> None:
    X = data(600)
    X[500] = 0.95
    scores = make().score_learn_many(X)
    assert 500 in np.argsort(-scores)[:10]


def check_scoring_is_pure(make: Make) -> None:
    detector = make()
    detector.learn_many(data())
    before = detector.to_state()
    first = detector.score_many(data(seed=1))
    detector.explain_many(data(seed=2))
    assert detector.to_state() == before
    np.testing.assert_array_equal(detector.score_many(data(seed=1)), first)


def check_one_pass_equals_one_by_one(make: Make) -> None:
    X = data(120)
    together, single = make(), make()
    scores = together.score_learn_many(X)
    for x, score in zip(X, scores, strict=True):
        assert (single.score_one(x) if single.ready else 0.0) == score
        single.learn_one(x)
    assert single.to_state() == together.to_state()


def check_batches_do_not_matter(make: Make) -> None:
    X = data(400)
    X[np.random.default_rng(3).random(X.shape) < 0.1] = np.nan
    whole, cut = make(), make()
    scores = whole.score_learn_many(X)
    parts = [cut.score_learn_many(part) for part in np.split(X, [1, 2, 50, 51, 133, 390])]
    np.testing.assert_array_equal(np.concatenate(parts), scores)
    assert cut.to_state() == whole.to_state()


def check_state_round_trip(make: Make) -> None:
    X = data(400)
    X[::7, 1] = np.nan
    one = make()
    empty = type(one).from_state(one.to_state())
    np.testing.assert_array_equal(empty.score_learn_many(X), one.score_learn_many(X))
    two = type(one).from_state(one.to_state())
    assert two.to_state() == one.to_state()
    np.testing.assert_array_equal(two.score_learn_many(X), one.score_learn_many(X))


def check_foreign_and_damaged_states_are_refused(make: Make) -> None:
    detector = make()
    detector.learn_many(data())
    state = detector.to_state()
    for wrong in (
        b"",
        b"x" * 40,
        state[:-1] + bytes([state[-1] ^ 1]),
        state[:30],
        state.replace(detector.name.encode(), b"x" * len(detector.name)),
    ):
        with pytest.raises(StateError):
            type(detector).from_state(wrong)


def check_same_seed_same_scores(make: Make) -> None:
    np.testing.assert_array_equal(make().score_learn_many(data()), make().score_learn_many(data()))


def check_not_ready_is_an_error(make: Make) -> None:
    detector = make()
    assert not detector.ready
    with pytest.raises(NotReadyError, match=r"needs \d+"):
        detector.score_many(data(1))
    detector.learn_many(data(1))
    assert not detector.ready
    detector.learn_many(data(299))
    assert detector.ready
    detector.score_many(data(1))


def check_wrong_width_is_refused(make: Make) -> None:
    detector = make()
    detector.learn_many(data())
    for call in (detector.score_many, detector.learn_many, detector.score_learn_many, detector.explain_many):
        with pytest.raises(WidthError, match=r"3 features, not 4"):
            call(np.zeros((2, 4)))
        with pytest.raises(WidthError, match="matrix"):
            call(np.zeros(3))


def check_missing_values_are_survived(make: Make) -> None:
    detector = make()
    X = data(300)
    X[::3, 0] = np.nan
    X[5] = np.nan
    detector.learn_many(X)
    scores = detector.score_many(np.array([[np.nan, 0.5, 0.5], [np.nan, np.nan, np.nan]]))
    assert np.isfinite(scores).all()
    assert np.isfinite(detector.explain_many(X)).all()


def check_constant_input(make: Make) -> None:
    detector = make()
    detector.learn_many(np.full((300, 2), 0.25))
    usual = detector.score_many(np.full((1, 2), 0.25))[0]
    other = detector.score_many(np.array([[0.25, 0.9]]))[0]
    assert usual <= other <= 1


def check_widths(make: Make) -> None:
    for d in (1, 512):
        detector = make()
        scores = detector.score_learn_many(data(200, d))
        assert np.isfinite(scores).all()
        assert detector.explain_many(data(2, d)).shape == (2, d)


def check_events_without_fields_are_survived(make: Make) -> None:
    assert make().score_learn_many(np.empty((3, 0))).shape == (3,)


def check_empty_batches(make: Make) -> None:
    detector = make()
    detector.learn_many(data())
    before = detector.to_state()
    assert detector.score_learn_many(np.empty((0, 3))).shape == (0,)
    assert detector.to_state() == before


def check_explanations_add_up_to_the_score(make: Make) -> None:
    detector = make()
    detector.learn_many(data())
    X = data(50, seed=5)
    parts = detector.explain_many(X)
    assert parts.shape == X.shape
    assert (parts >= 0).all()
    np.testing.assert_allclose(parts.sum(axis=1), detector.score_many(X), rtol=1e-9)


def check_explanations_name_the_field(make: Make) -> None:
    detector = make()
    detector.learn_many(data(300))
    x = np.full((1, 3), 0.5)
    x[0, 1] = 0.97
    assert detector.explain_many(x)[0].argmax() == 1


def check_scale_does_not_matter(make: Make) -> None:
    for scale in (1e-12, 1e12):
        plain, scaled = make(), make()
        np.testing.assert_allclose(scaled.score_learn_many(data() * scale), plain.score_learn_many(data()), rtol=1e-6)


def check_a_large_offset_does_not_matter(make: Make) -> None:
    """A field at a billion that varies by less than one, as a counter or a time does."""
    offset = data(600) * 16.0 + 1e9
    plain = offset - 1e9  # what is left after rounding
    np.testing.assert_allclose(make().score_learn_many(offset), make().score_learn_many(plain), atol=0.01)


def check_infinity_is_scored_as_a_large_value(make: Make) -> None:
    detector = make()
    detector.learn_many(data())
    far, infinite = (detector.score_many(np.array([[x, 0.5, 0.5], [-x, 0.5, 0.5]])) for x in (1e9, np.inf))
    assert (infinite >= far - 1e-9).all()
    assert (infinite <= 1).all()
    detector.learn_many(np.array([[np.inf, -np.inf, 0.5]] * 3))
    assert np.isfinite(detector.score_many(data(seed=1))).all()


def check_a_huge_value_does_not_stay_in_the_state_for_ever(make: Make) -> None:
    largest = float(np.finfo(np.float64).max)
    X = data(600)
    X[0, 0], X[3, 1], X[250:252, 2] = 1e200, -1e200, (largest, -largest)
    usual, hit = make(), make()
    usual.learn_many(data(600))
    scores = hit.score_learn_many(X)
    assert ((scores >= 0) & (scores <= 1)).all()
    clean, found = (unpack(one.to_state(), one.name, one.state_version)[1] for one in (usual, hit))
    for name, array in clean.items():
        if array.dtype.kind == "f":
            assert (~np.isfinite(found[name])).sum() <= (~np.isfinite(array)).sum(), name


CHECKS = {name: check for name, check in list(globals().items()) if name.startswith("check_")}
