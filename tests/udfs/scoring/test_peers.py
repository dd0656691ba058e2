"""What is known of the entities as a group."""

from __future__ import annotations

import numpy as np
from streamgauge.models.detectors.cohort.cohort_level import CohortLevel
from streamgauge.udfs.scoring.peers import Peers


def test_the_level_of_all_entities_and_what_all_have_in_common_are_learned_apart():
    deviations, first = np.random.default_rng(0).normal(1.0, 1.0, (200, 2)), np.arange(200) < 10
    peers, level, strays = Peers(), CohortLevel(), CohortLevel()
    np.testing.assert_array_equal(peers.levels(deviations, first), level.rate_learn_many(deviations, first))
    in_common = strays.rate_learn_many(2.0 * deviations, first)
    remaining = peers.among(2.0 * deviations, first)
    known = ~np.isnan(in_common)
    np.testing.assert_array_equal(remaining[known], (2.0 * deviations - in_common)[known])
    np.testing.assert_array_equal(remaining[~known], 2.0 * deviations[~known])
    assert known.any()
    assert not known.all()


def test_a_restored_group_goes_on_as_if_nothing_had_happened():
    deviations, first = np.random.default_rng(0).normal(size=(200, 2)), np.arange(200) < 10
    peers, again = Peers(), Peers()
    peers.levels(deviations, first)
    peers.among(3.0 + deviations, first)
    peers.count(5)
    peers.count(-2)
    again.restore(peers.to_state())
    assert again.level.entities == again.strays.entities == 13
    none = np.zeros(200, np.bool_)
    np.testing.assert_array_equal(again.levels(deviations, none), peers.levels(deviations, none))
    np.testing.assert_array_equal(again.among(deviations, none), peers.among(deviations, none))
    assert Peers().to_state() == [[0.0, []], [0.0, []]]
    empty = Peers()
    empty.restore(Peers().to_state())
    np.testing.assert_array_equal(empty.levels(deviations, first), Peers().levels(deviations, first))
