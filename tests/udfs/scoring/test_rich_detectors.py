"""Each rich detector is given what others leave of the values, and gives the opinion that it would give alone."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.catalog import ENTITY
from streamgauge.models.detectors.cohort.cohort_level import CohortLevel
from streamgauge.udfs.entities.rich_store import RichInputs
from streamgauge.udfs.scoring.detectors import MOST_WATCHED, Detectors

from tests.udfs.scoring.stretches import (
    ENTITIES,
    QUARTER,
    detect,
    empty_state,
    only,
    same,
    state_for,
    stretch_of,
    values,
)


def inputs_of(stretch, kind="fields", levels=None):
    levels = np.empty((len(stretch), 0)) if levels is None else levels
    times = stretch.events.times
    return RichInputs(kind, stretch.slots, stretch.first, stretch.quarantined, times, stretch.X, levels)


def learn_rich(detectors, stretch, kind="fields", rich=None):
    """The opinions of the rich detectors by name, and the level of the peers."""
    rich = state_for(detectors, stretch.X.shape[1]).rich if rich is None else rich
    opinions, levels = detectors.learn_rich(rich, inputs_of(stretch, kind), stretch.joins)
    return {opinion.detector.name: opinion for opinion in opinions}, levels


AFTER_THE_HOUR = {
    "seasonal_profile": {"warmup": 5},
    "peer_deviation": {"warmup": 5},
    "cusum": {"warmup": 5},
    "slow_drift": {"span": 10, "warmup": 5},
    "value_novelty": {"warmup": 10},
}


def test_a_rich_detector_is_given_what_the_hour_and_the_peers_leave_of_the_values():
    detectors, stretch = Detectors(only(**AFTER_THE_HOUR)), stretch_of(values(600))
    opinions, levels = learn_rich(detectors, stretch)
    made = {name: ENTITY[name](**settings) for name, settings in AFTER_THE_HOUR.items()}
    rows, X, times = stretch.rows, stretch.X, stretch.events.times
    profile, peers = made["seasonal_profile"], made["peer_deviation"]
    of_hour, usual, standard = profile.profile(empty_state(profile), rows, X, times)
    common = CohortLevel().rate_learn_many(standard, stretch.first)
    from_peers, by_peers = peers.from_peers(empty_state(peers), rows, X - usual, common)
    same(levels, common)
    same(opinions["seasonal_profile"].raw_score, profile.pool(of_hour))
    same(opinions["seasonal_profile"].deviations, of_hour)
    same(opinions["seasonal_profile"].expected, usual)
    same(opinions["peer_deviation"].raw_score, peers.pool(from_peers))
    same(opinions["peer_deviation"].deviations, from_peers)
    same(opinions["peer_deviation"].expected, by_peers)
    own = X - usual - np.nan_to_num(by_peers)
    for name, given in (("cusum", own), ("slow_drift", X - usual), ("value_novelty", X)):
        alone = made[name].rate_learn_entities(empty_state(made[name]), rows, given, times)
        for found, expected in zip(opinions[name][1:4], alone, strict=True):
            np.testing.assert_array_equal(found, expected)
        assert np.isfinite(alone[0]).any()
        assert opinions[name].looks.shape == (600, 2, 0)


def test_the_time_of_day_is_given_to_runs_of_values_and_to_all_detectors_of_what_is_left():
    slow_drift = {"span": 10, "warmup": 5}
    chosen = {"day_profile": {}, "runs": {}, "peer_deviation": {"warmup": 5}, "slow_drift": slow_drift}
    detectors, stretch = Detectors(only(**chosen)), stretch_of(values(2000), every=QUARTER)
    opinions, levels = learn_rich(detectors, stretch)
    made = {name: ENTITY[name](**settings) for name, settings in chosen.items()}
    rows, X, times = stretch.rows, stretch.X, stretch.events.times
    by_time = made["day_profile"].look(empty_state(made["day_profile"]), rows, X, times, stretch.quarantined)
    same(opinions["day_profile"].looks, by_time.evidence)
    same(opinions["day_profile"].expected, by_time.expected)
    runs = made["runs"].look(empty_state(made["runs"]), rows, X, times, stretch.quarantined, by_time.expected)
    same(opinions["runs"].looks, runs.evidence)
    same(levels, CohortLevel().rate_learn_many(by_time.deviations, stretch.first))
    left = X - by_time.expected
    from_peers, _ = made["peer_deviation"].from_peers(empty_state(made["peer_deviation"]), rows, left, levels)
    same(opinions["peer_deviation"].deviations, from_peers)
    drift = made["slow_drift"].rate_learn_entities(empty_state(made["slow_drift"]), rows, left, times)
    same(opinions["slow_drift"].raw_score, drift[0])


@pytest.mark.parametrize(("profile", "every"), [("seasonal_profile", 1000), ("day_profile", QUARTER)])
def test_without_peers_the_profile_of_the_time_of_day_alone_is_taken_off(profile, every):
    cusum = {"warmup": 5, "memory": 100}
    detectors, stretch = Detectors(only(**{profile: {}}, cusum=cusum)), stretch_of(values(2000), every=every)
    opinions, _ = learn_rich(detectors, stretch)
    alone = ENTITY["cusum"](**cusum)
    left = stretch.X - opinions[profile].expected
    raw_score, _, _ = alone.rate_learn_entities(empty_state(alone), stretch.rows, left, stretch.events.times)
    same(opinions["cusum"].raw_score, raw_score)


def test_without_a_profile_of_the_time_of_day_the_peers_have_the_values_themselves():
    detectors, stretch = Detectors(only(peer_deviation={"warmup": 5}, cusum={"warmup": 5})), stretch_of(values(600))
    opinions, levels = learn_rich(detectors, stretch)
    peers, cusum = ENTITY["peer_deviation"](warmup=5), ENTITY["cusum"](warmup=5)
    same(levels, CohortLevel().rate_learn_many(stretch.X, stretch.first))
    deviations, usual = peers.from_peers(empty_state(peers), stretch.rows, stretch.X, levels)
    same(opinions["peer_deviation"].deviations, deviations)
    own = stretch.X - np.nan_to_num(usual)
    alone = cusum.rate_learn_entities(empty_state(cusum), stretch.rows, own, stretch.events.times)
    same(opinions["cusum"].raw_score, alone[0])


def test_events_that_are_learned_again_have_the_level_of_then_and_the_peers_learn_nothing():
    chosen, stretch = only(**AFTER_THE_HOUR), stretch_of(values(600))
    detectors, again = Detectors(chosen), Detectors(chosen)
    once, twice = state_for(detectors).rich, state_for(again).rich
    _, levels = detectors.learn_rich(once, inputs_of(stretch), stretch.joins)
    untouched = again.peers.to_state()
    _, given = again.learn_rich(twice, inputs_of(stretch, levels=levels))
    same(twice, once)
    assert given is levels
    assert again.peers.to_state() == untouched != detectors.peers.to_state()


def test_entities_that_are_not_compared_are_counted_for_the_time_when_they_are():
    detectors = Detectors(only(value_novelty={}))
    _, levels = learn_rich(detectors, stretch_of(values(25)))
    assert levels.shape == (25, 0)
    assert detectors.peers.level.entities == detectors.peers.strays.entities == ENTITIES
    learn_rich(detectors, stretch_of(values(25), first_times=False))
    assert detectors.peers.level.entities == ENTITIES


def test_a_rich_detector_neither_scores_nor_learns_streams_of_other_kinds():
    detectors = Detectors(only(seasonal_profile={"streams": ["series"]}, value_novelty={"warmup": 10}))
    stretch, state = stretch_of(values(300)), state_for(detectors)
    opinions, _ = learn_rich(detectors, stretch, "records", state.rich)
    novelty = ENTITY["value_novelty"](warmup=10)
    alone = empty_state(novelty)
    raw_score, _, _ = novelty.rate_learn_entities(alone, stretch.rows, stretch.X, stretch.events.times)
    assert list(opinions) == ["value_novelty"]
    same(opinions["value_novelty"].raw_score, raw_score)
    same(state.rich[:, :, -novelty.numbers_per_feature :], alone)
    assert not state.rich[:, :, : -novelty.numbers_per_feature].any()


@pytest.mark.parametrize(
    ("fields", "looking"),
    [
        (MOST_WATCHED, ["day_profile", "runs", "flat_line", "value_novelty"]),
        (MOST_WATCHED + 1, ["day_profile", "value_novelty"]),
    ],
)
def test_with_many_fields_rich_detectors_look_for_points_only(fields, looking):
    detectors = Detectors(only(day_profile={}, runs={}, flat_line={}, value_novelty={}))
    opinions, _ = learn_rich(detectors, stretch_of(values(12, fields)))
    assert list(opinions) == looking


def test_events_without_a_slot_have_no_opinion_of_rich_detectors_and_do_not_change_the_others():
    chosen = only(levels={}, seasonal_profile={"warmup": 5}, value_novelty={"warmup": 10})
    X, fewer = values(600), stretch_of(values(600)).rows != 4
    rows = np.arange(600) % ENTITIES
    slots = np.where(fewer, rows, -1)
    detectors, without = Detectors(chosen), Detectors(chosen)
    opinions = detect(detectors, stretch_of(X, slots=slots))
    alone, _ = learn_rich(without, stretch_of(X), rich=state_for(without).rich)
    for name in ("seasonal_profile", "value_novelty"):
        k = detectors.names.index(name)
        same(opinions.raw_scores[fewer, k], alone[name].raw_score[fewer])
        same(opinions.contributions[k][fewer], alone[name].deviations[fewer] ** 2)
        assert np.isnan(opinions.raw_scores[~fewer, k]).all()
        assert np.isnan(opinions.contributions[k][~fewer]).all()
    assert detectors.peers.level.entities == ENTITIES - 1


def test_the_deviation_from_the_peers_is_without_what_all_entities_have_in_common():
    detectors, stretch = Detectors(only(peer_deviation={"warmup": 5})), stretch_of(values(600))
    opinions = detect(detectors, stretch)
    peers = ENTITY["peer_deviation"](warmup=5)
    levels = CohortLevel().rate_learn_many(stretch.X, stretch.first)
    deviations, _ = peers.from_peers(empty_state(peers), stretch.rows, stretch.X, levels)
    in_common = CohortLevel().rate_learn_many(deviations, stretch.first)
    remaining = deviations - np.nan_to_num(in_common)
    k = detectors.names.index("peer_deviation")
    same(opinions.raw_scores[:, k], peers.pool(remaining))
    same(opinions.contributions[k], remaining**2)
    same(opinions.levels, levels)
    assert np.nanmax(np.abs(in_common)) > 0.0


def test_a_channel_of_two_detectors_is_as_usual_as_the_more_usual_of_both_says():
    detectors, stretch = Detectors(only(levels={}, day_profile={})), stretch_of(values(2000), every=QUARTER)
    opinions = detect(detectors, stretch)
    given = stretch.rows, stretch.X, stretch.events.times, stretch.quarantined
    levels, profile = ENTITY["levels"](), ENTITY["day_profile"]()
    light = levels.look(empty_state(levels), *given).evidence
    rich = profile.look(empty_state(profile), *given).evidence
    expected = np.concatenate((light, rich[:, :, 2:]), axis=2)
    expected[:, :, 1] = np.fmin(light[:, :, 1], rich[:, :, 0])
    expected[:, :, 2] = np.fmin(light[:, :, 2], rich[:, :, 1])
    same(opinions.looks, expected)
    assert (light[:, :, 1] > rich[:, :, 0]).any()
    assert (light[:, :, 1] < rich[:, :, 0]).any()


@pytest.mark.parametrize(
    ("name", "every"),
    [("day_profile", QUARTER), ("seasonal_profile", 4 * QUARTER), ("peer_deviation", QUARTER)],
)
def test_only_what_is_expected_at_this_hour_replaces_what_is_expected_at_any_time(name, every):
    chosen = {name: {} if name == "day_profile" else {"warmup": 5}}
    stretch = stretch_of(values(2000), every=every)
    opinions = detect(Detectors(only(levels={}, **chosen)), stretch)
    light = detect(Detectors(only(levels={})), stretch).expected[0]
    of_rich = learn_rich(Detectors(only(**chosen)), stretch)[0][name].expected
    knows = ~np.isnan(of_rich) & (name != "peer_deviation")
    same(opinions.expected[0], np.where(knows, of_rich, light))
    assert knows.any() == (name != "peer_deviation")
    assert not knows.all()
