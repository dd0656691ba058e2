"""Channels are members: each is as loud as its most unusual field, less the price of having looked at all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from streamgauge.udfs.scoring.attribution import expected, shares
from streamgauge.udfs.scoring.channels import add_channels
from streamgauge.udfs.scoring.opinions import EVIDENCE, ChannelShares, Opinions, Verdicts

NAMES = ["level", "run", "field", "fields", "forest", "forest shadow"]
OF_RUNS = np.array([False, True])
LEVEL = np.array([0])  # the only channel that is joined looks for points


def opinions_of(looks, text_fields=0):
    looks = np.array(looks, dtype=np.float64)
    n = len(looks)
    return Opinions(
        list(NAMES),
        np.full((n, len(NAMES)), np.nan),
        [None] * len(NAMES),
        [],
        np.zeros(n),
        np.zeros((n, text_fields)),
        np.empty((0, 0)),
        np.empty((n, 0), np.bool_),
        looks,
        np.full(n, np.nan),
        np.zeros((n, len(EVIDENCE))),
    )


def added(looks, prices=(0.0, 0.0), quarantined=None):
    opinions = opinions_of(looks)
    quarantine = np.zeros(len(opinions.looks), np.bool_) if quarantined is None else np.array(quarantined)
    add_channels(opinions, OF_RUNS, LEVEL, np.array(prices), quarantine)
    return opinions


def test_a_channel_pays_for_the_fields_that_it_could_judge_and_one_of_runs_for_all():
    scores = added([[[9.0, 7.0], [1.0, math.nan], [math.nan, math.nan]]]).raw_scores[0]
    assert scores[0] == pytest.approx(9.0 - math.log(2))
    assert scores[1] == pytest.approx(7.0 - math.log(3))


def test_a_channel_has_its_own_price_and_never_less_than_no_evidence():
    scores = added([[[5.0, 0.5]]], prices=(1.5, 2.0)).raw_scores[0]
    assert scores[:2].tolist() == [3.5, 0.0]


def test_a_channel_that_can_judge_no_field_has_no_opinion():
    scores = added([[[math.nan, 3.0], [math.nan, math.nan]]]).raw_scores[0]
    assert math.isnan(scores[0])
    assert scores[1] == pytest.approx(3.0 - math.log(2))


def test_the_only_field_and_several_fields_are_joined_into_members_of_their_own():
    one, two = added([[[6.0, 50.0]]]), added([[[6.0, 50.0], [0.0, 50.0]]])
    assert one.raw_scores[0, 2] == one.joined[0] == 6.0  # channels of runs are not joined
    assert math.isnan(one.raw_scores[0, 3])
    assert two.raw_scores[0, 3] == two.joined[0] == pytest.approx(6.0 - math.log(2), abs=0.01)
    assert math.isnan(two.raw_scores[0, 2])
    assert one.by_kind[0].tolist() == [6.0, 0.0, 0.0, 0.0, 0.0]


def test_a_quarantined_event_of_the_only_field_is_marked_by_a_minus():
    scores = added([[[6.0, 0.0]], [[6.0, 0.0]]], quarantined=[False, True]).raw_scores
    assert scores[:, 2].tolist() == [6.0, -6.0]


def test_a_field_contributes_to_a_channel_by_how_rare_its_value_is():
    added_ones = added([[[0.0, 1.0], [math.log(4.0), 1.0], [math.nan, 1.0]]])
    level = added_ones.contributions[0][0]
    assert level[:2] == pytest.approx([0.25, 1.0])
    assert math.isnan(level[2])
    assert added_ones.contributions[1][0] == pytest.approx([1.0, 1.0, 1.0])
    assert ChannelShares(np.full((1, 2), -np.inf))[0].tolist() == [0.0, 0.0]


# ---- which field is to blame ------------------------------------------------------------------------------------------


def verdicts_of(members):
    members = np.array([members])
    zero = np.zeros(1)
    return Verdicts(members, zero, zero, np.zeros((1, 2)), np.zeros((1, 5)), zero)


def test_the_shares_of_members_are_averaged_by_their_evidence():
    opinions = opinions_of(np.empty((1, 2, 0)))
    opinions.contributions[0] = np.array([[3.0, 1.0]])
    opinions.contributions[4] = np.array([[0.0, 20.0]])
    told = verdicts_of([2.0, math.nan, math.nan, math.nan, 6.0, math.nan])
    assert shares(0, 2, 0, opinions, told) == pytest.approx([(2 * 0.75) / 8, (2 * 0.25 + 6) / 8])


def test_a_shadow_a_quiet_member_and_one_without_opinion_blame_no_field():
    opinions = opinions_of(np.empty((1, 2, 0)))
    opinions.contributions = [
        np.array([[1.0, 0.0]]),
        None,
        np.array([[1.0, 0.0]]),
        np.array([[math.nan, 0.0]]),
        np.array([[math.nan, 3.0]]),
        np.array([[1.0, 0.0]]),
    ]
    told = verdicts_of([0.0, 9.0, math.nan, 9.0, 1.0, 9.0])
    assert shares(0, 2, 0, opinions, told).tolist() == [0.0, 1.0]
    assert shares(0, 2, 0, opinions, verdicts_of([0.0] * 6)).tolist() == [0.0, 0.0]


def test_text_fields_have_their_share_behind_the_numeric_ones():
    opinions = opinions_of(np.empty((1, 2, 0)), text_fields=2)
    opinions.contributions[0] = np.array([[1.0, 1.0]])
    opinions.categories = np.array([[0.0, 6.0]])
    told = verdicts_of([2.0] + [math.nan] * 5)
    assert shares(0, 2, 2, opinions, told).tolist() == [0.125, 0.125, 0.0, 0.75]
    assert shares(0, 2, 3, opinions, told).tolist() == [0.125, 0.125, 0.0, 0.75, 0.0]


def test_the_first_member_that_expects_something_of_a_field_counts():
    opinions = opinions_of(np.empty((1, 3, 0)))
    opinions.expected = [np.array([[math.nan, 2.0, math.nan]]), np.array([[1.0, 9.0, math.nan]])]
    known = expected(0, 3, opinions)
    assert known[:2].tolist() == [1.0, 2.0]
    assert math.isnan(known[2])
