"""Many looks at an event become one evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.udfs.scoring.join import AS_IT_IS, NOVEL, OF_FIELDS, SEEN_BEFORE, join, join_fields, ranked

LOOKS = st.lists(st.floats(0.0, 700.0), min_size=1, max_size=6)


def joined(*evidence: float) -> float:
    """The evidence of members that count alike; NaN is absent."""
    members = np.array([evidence])
    kinds, weights = np.zeros(len(evidence), np.int64), np.ones(len(evidence))
    return float(join(np.nan_to_num(members), ~np.isnan(members), kinds, weights)[0][0])


def test_one_member_alone_is_worth_its_evidence_less_the_logarithm_of_how_many_were_asked():
    assert joined(1.0, 19.0) == pytest.approx(19 - math.log(2), abs=1e-6)
    assert joined(math.nan, 9.0) == 9.0
    assert math.isnan(joined(math.nan, math.nan))


@given(LOOKS)
def test_it_is_the_harmonic_mean_of_the_tail_probabilities(evidence):
    direct = -math.log(len(evidence) / sum(math.exp(min(e, 700.0)) for e in evidence))
    assert joined(*evidence) == pytest.approx(max(direct, 0.0), abs=1e-9)


@given(LOOKS, st.integers(0, 5))
def test_a_quiet_look_takes_nothing_from_a_loud_one_but_its_price(evidence, more):
    assert joined(*evidence, *[0.0] * more) >= max(evidence) - math.log(len(evidence) + more) - 1e-9


@pytest.mark.parametrize("fields", [1, 2, 5, 20, 100, 500])
def test_a_fault_in_one_of_many_fields_is_found_as_it_would_be_alone_less_the_price_of_the_fields(fields):
    looks = np.full((1, fields, 3), 0.5)
    looks[0, -1] = 30.0
    evidence, _ = join_fields(looks, np.zeros(3, np.int64))
    assert evidence[0] == pytest.approx(30.0 - math.log(fields), abs=1e-6)


def test_a_channel_that_cannot_judge_has_no_price():
    looks = np.array([[[9.0, math.nan]], [[math.nan, math.nan]]])
    evidence, _ = join_fields(looks, np.zeros(2, np.int64))
    assert evidence[0] == 9.0
    assert math.isnan(evidence[1])


def test_a_member_that_counts_for_four_looks_pays_less():
    evidence, present = np.array([[20.0, 0.0]]), np.ones((1, 2), np.bool_)
    heavy, _ = join(evidence, present, np.zeros(2, np.int64), np.array([4.0, 1.0]))
    assert heavy[0] == pytest.approx(20.0 - math.log(5 / 4), abs=1e-6)


def test_each_kind_has_its_part():
    kinds = np.array([0, 1, OF_FIELDS])
    evidence, parts = join(np.array([[2.0, 12.0, 1.0]]), np.ones((1, 3), np.bool_), kinds, np.ones(3))
    assert parts[0].argmax() == 1
    assert parts[0, 1] == pytest.approx(12.0 - math.log(3))
    assert evidence[0] >= parts.max()


def test_what_resembles_the_past_ranks_below_what_is_new():
    evidence, seen = np.array([3.0, AS_IT_IS, 50.0, 1e6, 2.0]), np.full(5, 10_000)
    novelty = np.array([0.0, 0.0, math.nan, 0.0, 2 * NOVEL])
    ranks = ranked(evidence, novelty, seen)
    assert ranks[:2].tolist() == [3.0, AS_IT_IS]
    assert AS_IT_IS < ranks[2] < ranks[3] < SEEN_BEFORE < ranks[4]


def test_novelty_counts_little_while_few_values_were_seen():
    assert ranked(np.array([2.0]), np.array([1.5 * NOVEL]), np.array([50]))[0] == 2.0
    assert ranked(np.array([math.nan]), np.array([math.nan]), np.array([0]))[0] == 0.0


AMOUNTS = st.one_of(st.floats(0.0, 50.0), st.just(math.nan))


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS), min_size=1, max_size=4), st.permutations([0, 1, 4]))
def test_each_channel_has_the_same_weight_which_its_fields_share(looks, kinds):
    """Against the weighted harmonic mean, written out; the part of a kind is the same sum over its channels alone."""
    evidence, by_kind = join_fields(np.array([looks]), np.array(kinds))
    columns = [[look for look in column if not math.isnan(look)] for column in zip(*looks, strict=True)]
    sums = [sum(math.exp(look) for look in column) / len(column) if column else 0.0 for column in columns]
    channels = sum(bool(column) for column in columns)
    if not channels:
        assert math.isnan(evidence[0])
        assert by_kind[0].tolist() == [0.0] * 5
        return
    assert evidence[0] == pytest.approx(max(math.log(sum(sums) / channels), 0.0), abs=1e-9)
    expected = np.zeros(5)
    for kind, part in zip(kinds, sums, strict=True):
        expected[kind] = max(math.log(part / channels), 0.0) if part else 0.0
    assert by_kind[0] == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.tuples(AMOUNTS, st.floats(0.1, 8.0)), min_size=1, max_size=5))
def test_members_are_weighted_by_how_many_looks_they_count_for(members):
    evidence, weights = np.array([e for e, _ in members]), np.array([w for _, w in members])
    present = ~np.isnan(evidence)
    joined_, parts = join(np.nan_to_num(evidence)[None], present[None], np.full(len(members), OF_FIELDS), weights)
    if not present.any():
        assert math.isnan(joined_[0])
        return
    mean = (weights * np.exp(np.nan_to_num(evidence)))[present].sum() / weights[present].sum()
    assert joined_[0] == pytest.approx(max(math.log(mean), 0.0), abs=1e-9)
    assert parts[0].tolist() == pytest.approx([0.0] * 5 + [joined_[0]])


def test_events_are_joined_one_by_one():
    looks = np.array([[[3.0, 1.0]], [[math.nan, 7.0]], [[math.nan, math.nan]], [[0.0, 5.0]]])
    evidence, by_kind = join_fields(looks, np.array([0, 3]))
    for i in range(4):
        alone = join_fields(looks[i : i + 1], np.array([0, 3]))
        np.testing.assert_array_equal(evidence[i : i + 1], alone[0])
        np.testing.assert_array_equal(by_kind[i : i + 1], alone[1])


@pytest.mark.parametrize(
    ("novelty", "seen", "is_new"), [(NOVEL, 10**9, True), (2 * NOVEL, 100, True), (NOVEL, 100, False)]
)
def test_a_value_is_new_from_a_limit_on_that_few_values_reach_half_as_easily(novelty, seen, is_new):
    rank = ranked(np.array([9.0]), np.array([novelty + 1e-6]), np.array([seen]))[0]
    assert (rank == SEEN_BEFORE + 9.0) == is_new


def test_evidence_of_what_was_seen_before_grows_at_first_as_it_does_and_then_ever_slower():
    evidence = np.array([AS_IT_IS, AS_IT_IS + 1e-3, 8.0, 10.0, 20.0, 100.0])
    ranks = ranked(evidence, np.zeros(6), np.full(6, 1000))
    room = SEEN_BEFORE - AS_IT_IS
    assert ranks[1] - ranks[0] == pytest.approx(1e-3, rel=1e-2)
    assert ranks.tolist() == pytest.approx([SEEN_BEFORE - room / (1.0 + (e - AS_IT_IS) / room) for e in evidence])
