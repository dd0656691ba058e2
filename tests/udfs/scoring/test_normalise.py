"""Fields to features in [0, 1]."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.scoring.normalise import AGO, CHANNELS, PRIOR, WIDTH, distances, featurize, unsquashed
from streamgauge.udfs.settings.pipeline import FeaturizeSettings

SETTINGS = FeaturizeSettings(half_life=100, warmup=10)


def run(x, settings=SETTINGS, state=None):
    X = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    state = np.zeros((1, X.shape[1], WIDTH)) if state is None else state
    return featurize(state, np.zeros(len(X), np.int64), X, settings, np.zeros(2), np.zeros((X.shape[1], PRIOR)))[
        0
    ], state


def usual(n=400, seed=0):
    return np.random.default_rng(seed).normal(100, 5, n)


def test_features_lie_between_0_and_1_and_usual_values_are_at_a_half():
    features, _ = run(usual())
    settled = features[50:]
    assert settled.min() > 0
    assert settled.max() < 1
    np.testing.assert_allclose(settled.mean(axis=0), 0.5, atol=0.05)


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e6))
def test_the_unit_and_the_origin_of_a_field_do_not_matter(origin, unit):
    x = usual(100)
    np.testing.assert_allclose(run(x * unit + origin)[0][20:], run(x)[0][20:], atol=1e-4)


@pytest.mark.parametrize(("level", "variation"), [(1e9, 0.5), (1e7, 0.005), (1.7e12, 300.0), (1e6, 1e-5)])
def test_a_field_that_varies_little_around_a_large_value_does_vary(level, variation):
    """A counter at a billion, a price in cents, a time in milliseconds."""
    x = level + variation * np.random.default_rng(0).normal(size=300)
    features, steady, _, _ = featurize(
        np.zeros((1, 1, WIDTH)), np.zeros(300, np.int64), x[:, None], SETTINGS, np.zeros(2), np.zeros((1, PRIOR))
    )
    assert not steady[2:].any()
    np.testing.assert_allclose(features[20:], run(x - level)[0][20:], atol=1e-3)


def test_entities_in_their_cold_start_and_missing_values_have_no_features():
    x = usual(30)
    x[20] = np.nan
    features, _ = run(x)
    assert np.isnan(features[:10]).all()
    assert np.isfinite(features[10:20]).all()
    assert np.isnan(features[20]).all()
    assert features.shape == (30, CHANNELS)


def test_an_outlier_hardly_changes_the_scale():
    x = usual()
    _, clean = run(x)
    x[300] = 1e9
    _, hit = run(x)
    assert abs(hit[0, 0, 1] - clean[0, 0, 1]) < 1.0
    assert hit[0, 0, 2] < 1.5 * clean[0, 0, 2]


@pytest.mark.parametrize("place", [0, 3, 300])
@pytest.mark.parametrize("value", [1e200, -1e200, float(np.finfo(np.float64).max)])
def test_a_huge_value_does_not_stay_for_ever(value, place):
    x = usual()
    x[place : place + 2] = value, -value
    _, state = run(x)
    assert np.isfinite(state).all()
    x = usual(20_000, seed=1)
    x[-1] += 50
    features, _ = run(x, FeaturizeSettings(half_life=10, warmup=10), state)
    assert features[-1, 0] > 0.8


def test_the_normaliser_follows_a_change_of_scale():
    x = np.concatenate([np.full(50, 3.0), np.random.default_rng(1).normal(3.0, 100.0, 2000)])
    _, state = run(x)
    assert np.sqrt(state[0, 0, 2]) == pytest.approx(100, rel=0.25)


@given(st.lists(st.integers(1, 199), max_size=6))
def test_batch_boundaries_do_not_matter(cuts):
    x, state, parts = usual(200), None, []
    for part in np.split(x, sorted(set(cuts))):
        features, state = run(part, state=state)
        parts.append(features.reshape(-1, CHANNELS))
    np.testing.assert_array_equal(np.concatenate(parts), run(x)[0])


def test_an_entity_in_its_cold_start_begins_with_the_prior_of_its_cohort():
    random = np.random.default_rng(0)
    centres = random.normal(100, 10, 21)
    state, prior = np.zeros((21, 1, WIDTH)), np.zeros((1, PRIOR))

    def feed(rows, x):
        return featurize(state, np.array(rows), np.array(x)[:, None], SETTINGS, np.zeros(2), prior)[0]

    rows = np.arange(20).repeat(50)
    feed(rows, centres[rows] + random.normal(0, 2, len(rows)))
    assert prior[0, 3] == 20
    assert prior[0, 1] == pytest.approx(100, abs=8)
    [first] = feed([20], [300.0])
    assert first[0] > 0.8  # far from all others, which shows in the first event
    later = feed([20] * 40, 300 + random.normal(0, 2, 40))
    assert abs(later[-1, 0] - 0.5) < 0.15  # soon usual for the entity itself
    assert state[20, 0, 1] == pytest.approx(300, rel=0.02)
    assert state[20, 0, 2] ** 0.5 == pytest.approx(2, rel=0.3)


def test_there_is_no_prior_with_fewer_than_eight_entities():
    state, prior = np.zeros((9, 1, WIDTH)), np.zeros((1, PRIOR))
    rows = np.arange(7).repeat(50)
    featurize(state, rows, usual(350)[:, None], SETTINGS, np.zeros(2), prior)
    features = featurize(state, np.array([8]), np.array([[1e6]]), SETTINGS, np.zeros(2), prior)[0]
    assert np.isnan(features).all()


@pytest.mark.parametrize(("shift", "is_least"), [(0.0, True), (0.25, False)])
def test_whole_numbers_vary_usually_by_at_least_one(shift, is_least):
    random = np.random.default_rng(0)
    x = shift + (random.random(400) < 0.03).astype(float)[:, None]
    x[350] = 4.0
    state = np.zeros((1, 1, WIDTH))
    rows = np.zeros(400, np.int64)
    variations = featurize(state, rows, x, SETTINGS, np.zeros(2), np.zeros((1, PRIOR)))[3]
    assert (variations[350, 0] == 1.0) == is_least
    assert variations[350, 0] > 0.05
    assert np.isnan(variations[0, 0])  # nothing is known yet


# ---- against plain statistics of all values before -------------------------------------------------------------------

LONG = FeaturizeSettings(half_life=1e9, warmup=10, short=4)  # nothing is forgotten


def squashed(deviations):
    return 0.5 + 0.5 * deviations / (np.abs(deviations) + 3.0)


def uniform(n=300, seed=0):
    """Values within three standard deviations, which are learned as they are."""
    return np.random.default_rng(seed).uniform(50.0, 60.0, n)


def look_at(x, settings=LONG, quarantined=None, prior=None, rows=None, state=None):
    """All that `featurize` says of values of one field, and what it adds up."""
    X = np.asarray(x, dtype=np.float64)[:, None]
    rows = np.zeros(len(X), np.int64) if rows is None else np.asarray(rows)
    state = np.zeros((rows.max() + 1, 1, WIDTH)) if state is None else state
    changes, prior = np.zeros(2), np.zeros((1, PRIOR)) if prior is None else prior
    found = featurize(state, rows, X, settings, changes, prior, quarantined)
    features, steady, usual, variations = found
    return features, steady[:, 0], usual[:, 0], variations[:, 0], changes


def test_features_are_level_change_and_short_mean_in_standard_deviations_of_all_values_before():
    x = uniform()
    features, _, _, variations, changes = look_at(x)
    short, earlier, expected, sums = x[0], x[0], [], np.zeros(2)
    for i in range(1, len(x)):
        short += 2.0 / (4 + 1) * (x[i] - short)
        if i >= LONG.warmup:
            mean, deviation = x[:i].mean(), x[:i].std()
            row = squashed(np.array([x[i] - mean, x[i] - x[i - 1], short - mean]) / deviation)
            expected.append(row)
            sums += abs(row[1] - 0.5), abs(squashed((x[i] - earlier) / deviation) - 0.5)
            assert variations[i] == pytest.approx(deviation)
        if i % AGO == 0:
            earlier = x[i]
    assert np.isnan(features[: LONG.warmup]).all()
    np.testing.assert_allclose(features[LONG.warmup :], expected, rtol=1e-6)
    np.testing.assert_allclose(changes, sums, rtol=1e-6)


def test_a_value_counts_half_after_the_half_life():
    state = np.zeros((1, 1, WIDTH))
    run(np.concatenate((np.tile([9.0, 11.0], 2500), np.full(50, 12.0))), FeaturizeSettings(half_life=50), state)
    assert state[0, 0, 1] == pytest.approx(11.0, abs=0.02)  # half of 10 and half of 12


def test_a_value_is_usual_between_the_lowest_and_the_highest_so_far_which_move_by_a_standard_deviation_at_most():
    x = uniform()
    x[200], x[210] = 1000.0, -1000.0
    _, _, usual, variations, _ = look_at(x)
    expected = [True] + [x[:i].min() <= x[i] <= x[:i].max() for i in range(1, 200)]
    assert usual[:200].tolist() == expected
    assert not all(expected[LONG.warmup :])
    lowest, highest = x[:200].min(), x[:200].max()
    beyond = np.array([lowest - 0.9 * variations[210], highest + 0.9 * variations[200], lowest - 1.5 * variations[210]])
    for value, is_usual in zip([*beyond, highest + 1.5 * variations[200]], (True, True, False, False), strict=True):
        assert look_at([*x[:211], value])[2][-1] == is_usual


def test_the_range_of_usual_values_shrinks_towards_the_centre_with_the_half_life():
    settings = FeaturizeSettings(half_life=20, warmup=10)
    x = np.concatenate((np.tile([-5.0, 5.0], 100), np.tile([-1.0, 1.0], 200)))
    assert look_at([*x[:200], 4.0], settings)[2][-1]
    assert not look_at([*x, 4.0], settings)[2][-1]
    assert not look_at([*x, -4.0], settings)[2][-1]
    assert look_at([*x, 0.9], settings)[2][-1]


def test_the_first_change_of_a_field_that_never_varied_is_steady_and_as_large_as_the_square_root_of_how_many_were_equal():
    for step in (2.5, -2.5):
        features, steady, usual, variations, _ = look_at([7.5] * 50 + [7.5 + step, 7.5])
        assert np.flatnonzero(steady).tolist() == [50]
        np.testing.assert_allclose(features[10:50], 0.5)
        assert features[50, :2] == pytest.approx(squashed(np.sign(step) * np.sqrt([50.0, 50.0])))
        assert not usual[50]
        assert np.isnan(variations[:51]).all()
        assert variations[51] == pytest.approx(np.std([7.5] * 50 + [7.5 + step]))


def test_whole_numbers_vary_by_one_at_least_from_the_second_value_on():
    variations = look_at([3.0, 3.0, 3.0, 4.0, 90.0, 3.0, 3.5])[3]
    assert np.isnan(variations[0])
    assert variations[1:5].tolist() == [1.0] * 4
    assert variations[5] == pytest.approx(np.std([3.0, 3.0, 3.0, 4.0, 90.0]))
    assert look_at([3.5, 3.0, 3.0])[3][2] == pytest.approx(0.25)  # the earlier value was no whole number


def test_a_value_beyond_three_standard_deviations_is_learned_as_if_it_were_at_three():
    x = uniform(100)
    mean, deviation = x.mean(), x.std()
    for far in (1e6, -1e6):
        state = np.zeros((1, 1, WIDTH))
        look_at([*x, far], state=state)
        clipped = [*x, mean + np.sign(far) * 3.0 * deviation]
        assert state[0, 0, 1] == pytest.approx(np.mean(clipped))
        assert state[0, 0, 2] == pytest.approx(np.var(clipped))
        assert (state[0, 0, 0], state[0, 0, 3]) == (101.0, far)


def test_a_quarantined_event_is_not_learned_but_the_next_one_is_compared_with_it():
    x = uniform(100)
    x[60] = 90.0
    quarantined = np.arange(100) == 60
    state, without = np.zeros((1, 1, WIDTH)), np.zeros((1, 1, WIDTH))
    features = look_at(x, quarantined=quarantined, state=state)[0]
    plain = look_at(np.delete(x, 60), state=without)[0]
    np.testing.assert_array_equal(np.delete(state[0, 0], 4), np.delete(without[0, 0], 4))  # all but the short mean
    assert state[0, 0, 4] > without[0, 0, 4]
    np.testing.assert_array_equal(np.delete(features[:, 0], 60), plain[:, 0])
    past = np.delete(x[:61], 60)
    assert features[61, 1] == pytest.approx(squashed((x[61] - 90.0) / past.std()))
    assert features[60, 0] == pytest.approx(squashed((90.0 - past.mean()) / past.std()))


def test_the_prior_is_the_mean_and_the_variance_of_values_of_entities_past_their_warm_up():
    rows, x = np.arange(600) % 12, uniform(600)
    x += 0.2 * rows
    prior = np.zeros((1, PRIOR))
    look_at(x, rows=rows, prior=prior)
    learned = x[10 * 12 :]
    within = [(x[i] - x[i % 12 : i : 12].mean()) ** 2 for i in range(120, 600)]
    assert prior[0] == pytest.approx([480, learned.mean(), learned.var(), 12, np.mean(within)])


def test_a_value_moves_the_prior_by_three_standard_deviations_at_most():
    rows, x = np.arange(600) % 12, uniform(600)
    once, twice = np.zeros((1, PRIOR)), np.zeros((1, PRIOR))
    look_at(x, rows=rows, prior=once)
    for far in (1e6, -1e6):
        twice[:] = 0.0
        look_at([*x, far], rows=[*rows, 0], prior=twice)
        step = np.sign(far) * 3.0 * np.sqrt(once[0, 2])
        assert twice[0, 1] == pytest.approx(once[0, 1] + step / 481)
        assert twice[0, 2] == pytest.approx(480 / 481 * (once[0, 2] + step**2 / 481))


@pytest.mark.parametrize("entities", [7, 8])
def test_from_eight_entities_on_a_new_one_is_compared_with_all_and_then_has_a_centre_of_its_own(entities):
    rows, x = np.arange(600) % entities, uniform(600)
    state, prior = np.zeros((9, 1, WIDTH)), np.zeros((1, PRIOR))
    look_at(x, rows=rows, state=state, prior=prior)
    deviation = np.sqrt(prior[0, 2])
    known = prior[0].copy()
    features, steady, usual, variations, _ = look_at([70.0, 71.0], rows=[8, 8], state=state, prior=prior)
    if entities == 7:
        assert np.isnan(features).all()
        return
    assert features[0] == pytest.approx([squashed((70.0 - known[1]) / deviation), 0.5, features[0, 0]])
    assert (steady[0], usual[0], variations[0]) == (False, False, pytest.approx(deviation))
    within = np.sqrt(known[4])
    assert features[1, :2] == pytest.approx(squashed(np.array([1.0, 1.0]) / within))
    assert variations[1] == pytest.approx(within)
    assert state[8, 0, :2] == pytest.approx([5.0, 70.0 + 1.0 / 5.0])  # the prior counts as three values
    assert state[8, 0, 2] == pytest.approx(0.8 * (known[4] + 0.2))
    assert state[8, 0, 6:8] == pytest.approx([70.0, 71.0])
    np.testing.assert_array_equal(prior[0], known)  # the new entity is not past its warm-up


@pytest.mark.parametrize(("away", "is_usual"), [(1.9, True), (-1.9, True), (2.1, False), (-2.1, False)])
def test_the_first_value_of_an_entity_is_usual_within_two_standard_deviations_of_all_entities(away, is_usual):
    rows, x = np.arange(600) % 8, uniform(600)
    state, prior = np.zeros((9, 1, WIDTH)), np.zeros((1, PRIOR))
    look_at(x, rows=rows, state=state, prior=prior)
    value = prior[0, 1] + away * np.sqrt(prior[0, 2])
    assert look_at([value], rows=[8], state=state, prior=prior)[2][0] == is_usual


# ---- features as deviations again ------------------------------------------------------------------------------------


@given(st.floats(-19.9, 19.9))
def test_deviations_are_read_from_features(deviation):
    assert unsquashed(np.array([[squashed(deviation)]]))[0, 0] == pytest.approx(deviation, abs=1e-6)


def test_deviations_that_are_read_from_features_are_at_most_twenty():
    assert unsquashed(np.array([[0.0, 1.0, squashed(30.0), np.nan]]))[0, :3].tolist() == [-20.0, 20.0, 20.0]
    assert np.isnan(unsquashed(np.array([[np.nan]]))).all()


def test_the_distance_of_an_event_is_the_root_of_the_sum_of_squared_deviations_of_its_levels():
    deviations = np.array([[3.0, -4.0], [np.nan, 2.0], [np.nan, np.nan], [0.0, 0.0]])
    features = np.full((4, 2 * CHANNELS), 0.9)  # changes and short means do not matter
    features[:, ::CHANNELS] = squashed(deviations)
    found = distances(features)
    assert found[[0, 1, 3]] == pytest.approx([5.0, 2.0, 0.0])
    assert np.isnan(found[2])
    assert distances(np.array([[1.0, 0.5, 0.5]]))[0] > 1e9
