"""Members become evidence: each by its own calibrator, together as an ensemble, and joined with the looks that stand apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from streamgauge.models.errors import StateError
from streamgauge.udfs.scoring.calibrate import MERGED, NEAR, SHADOW, STEP, Calibrators, Members
from streamgauge.udfs.scoring.opinions import EVIDENCE, Opinions
from streamgauge.udfs.settings.pipeline import CalibrationSettings

NAMES = ["level", "field", "fields", "loda", "tail", "model", f"model{SHADOW}"]
WARMUP = 50
SETTINGS = CalibrationSettings(warmup=WARMUP, memory=1000)


def flags(*on):
    return np.array([name in on for name in NAMES])


MEMBERS = Members(
    names=NAMES,
    of_runs=np.array([False]),
    weights=np.array([1.0, 1.0, 1.0, 2.0, 1.0, 1.0, 0.0]),
    in_nats=flags("level"),
    apart=flags("level", "field", "fields", "model", f"model{SHADOW}"),
    ranks=flags(*NAMES),
    trained=flags("model", f"model{SHADOW}"),
    kinds=["point"] * len(NAMES),
)
LODA, TAIL, MODEL, SHADOW_PLACE = 3, 4, 5, 6


def raw(n, seed=0, **columns):
    """Raw scores of n events: exponential ones of the ensemble; other members have no opinion."""
    random = np.random.default_rng(seed)
    scores = np.full((n, len(NAMES)), np.nan)
    scores[:, LODA], scores[:, TAIL] = random.exponential(size=(2, n))
    for name, values in columns.items():
        scores[:, NAMES.index(name)] = values
    return scores


def no_canaries(n):
    return np.empty((n, 0), np.bool_)


def opinions_of(scores, joined=math.nan, canaries=None):
    n = len(scores)
    joined = np.broadcast_to(np.asarray(joined, dtype=np.float64), n).copy()
    by_kind = np.zeros((n, len(EVIDENCE)))
    by_kind[:, EVIDENCE.index("contextual")] = np.nan_to_num(joined)
    return Opinions(
        list(NAMES),
        scores,
        [None] * len(NAMES),
        [],
        np.zeros(n),
        np.zeros((n, 0)),
        np.empty((0, 0)),
        no_canaries(n) if canaries is None else canaries,
        np.empty((n, 1, 1)),
        joined,
        by_kind,
    )


def calibrators(method="mean", learned=2000):
    made = Calibrators(MEMBERS, SETTINGS, method)
    made.learn(raw(learned, seed=9), no_canaries(learned))
    return made


def test_a_member_counts_after_its_warm_up_and_only_where_it_has_an_opinion():
    scores = raw(2 * WARMUP, tail=[math.nan] * WARMUP + [1.0] * WARMUP)
    _, ready, combined, _, _ = Calibrators(MEMBERS, SETTINGS).learn(scores, no_canaries(len(scores)))
    assert ready[:, LODA].tolist() == [False] * WARMUP + [True] * WARMUP
    assert not ready[:, TAIL].any()  # its fiftieth opinion is that of the last event
    assert np.isnan(combined).tolist() == [True] * WARMUP + [False] * WARMUP
    assert not ready[:, MODEL].any()


def test_evidence_that_needs_no_calibration_is_taken_as_it_is_from_the_first_event_on():
    scores = raw(3, level=[0.5, 7.0, math.nan])
    members, ready, *_ = Calibrators(MEMBERS, SETTINGS).learn(scores, no_canaries(3))
    assert members[:2, 0].tolist() == [0.5, 7.0]
    assert ready[:, 0].tolist() == [True, True, False]


def test_the_ensemble_is_the_weighted_mean_of_its_members_and_at_least_that_less_one():
    made = calibrators()
    members, _, combined, ensemble, _ = made.learn(raw(200, level=50.0), no_canaries(200))
    assert combined == pytest.approx((2 * members[:, LODA] + members[:, TAIL]) / 3)
    assert (ensemble >= combined - MERGED - 1e-12).all()
    assert (ensemble > combined).any()  # it is calibrated by what the mean usually is


def test_a_vote_counts_how_many_members_agree():
    made = calibrators("vote")
    scores = raw(3, loda=[0.1, 60.0, 60.0], tail=[0.1, 0.1, 60.0])
    _, _, combined, ensemble, _ = made.learn(scores, no_canaries(3))
    assert combined[0] < combined[1] < combined[2]
    assert ensemble[2] > ensemble[0]


def test_the_consensus_is_what_members_of_at_least_half_of_the_weight_have_or_exceed():
    made = calibrators("consensus")
    members, _, combined, _, _ = made.learn(raw(3, loda=[0.1, 60.0, 0.1], tail=[0.1, 0.1, 60.0]), no_canaries(3))
    np.testing.assert_array_equal(combined, members[:, LODA])  # two thirds of the weight


def test_a_canary_puts_the_shadow_in_the_place_of_the_live_model():
    made = calibrators()
    made.learn(raw(500, seed=3, model=np.arange(500) % 7, **{f"model{SHADOW}": np.arange(500) % 7}), no_canaries(500))
    canaries = np.array([[False], [True]])
    scores = raw(2, model=[0.0, 0.0], **{f"model{SHADOW}": [90.0, 90.0]})
    members, *_ = made.learn(scores, canaries)
    assert members[0, MODEL] < 1 < members[0, SHADOW_PLACE]
    assert members[1, SHADOW_PLACE] < 1 < members[1, MODEL]
    columns = np.arange(14.0).reshape(2, 7)
    once = made.exchanged(columns, canaries)
    assert once[1, [MODEL, SHADOW_PLACE]].tolist() == [13.0, 12.0]
    np.testing.assert_array_equal(once[0], columns[0])
    np.testing.assert_array_equal(made.exchanged(once, canaries), columns)


def test_an_alert_rests_on_the_loudest_look_less_the_price_of_the_looks():
    made = calibrators()
    quiet = raw(1, loda=0.0, tail=0.0)
    verdicts = made.calibrate(opinions_of(quiet, joined=40.0), np.array([10_000]))
    assert verdicts.joined[0] == pytest.approx(40.0 - math.log(2), abs=0.01)  # the fields, and the ensemble
    assert EVIDENCE[int(verdicts.by_kind[0].argmax())] == "contextual"
    assert verdicts.strongest[0] == verdicts.joined[0]
    unknown = Calibrators(MEMBERS, SETTINGS).calibrate(opinions_of(quiet), np.array([1]))
    assert (math.isnan(unknown.joined[0]), unknown.strongest[0], unknown.evidence[0]) == (True, 0.0, 0.0)
    assert np.isnan(unknown.members).all()


def test_weights_move_in_steps_and_the_last_one_goes_all_the_way():
    made = Calibrators(MEMBERS, SETTINGS)
    assert not made.move()
    made.weigh({"loda": 1.0}, {"tail": 3.0})
    assert made.target.tolist() == [1.0, 1.0, 1.0, 1.0, 3.0, 1.0, 0.0]
    assert made.move()
    assert made.weights[[LODA, TAIL]] == pytest.approx([2.0 - STEP, 1.0 + 2.0 * STEP])
    steps = 1
    while made.move():
        steps += 1
    assert 10 < steps < 40
    np.testing.assert_array_equal(made.weights, made.target)
    made.weigh({}, {})
    made.weights = made.target * (1.0 + NEAR / 2)
    assert made.move()
    np.testing.assert_array_equal(made.weights, MEMBERS.weights)
    made.weigh({"loda": 0.0}, {})
    for _ in range(200):
        made.move()
    assert made.weights[LODA] < 1e-12


def test_a_member_takes_over_the_calibrator_of_another_and_learns_by_itself_from_then_on():
    made = calibrators()
    made.adopt({"model": "loda"})
    made.take(f"model{SHADOW}", made.members[TAIL])
    assert made.members[MODEL].to_state() == made.members[LODA].to_state()
    assert made.members[SHADOW_PLACE].to_state() == made.members[TAIL].to_state()
    made.learn(raw(10), no_canaries(10))
    assert made.members[MODEL].learned == made.members[LODA].learned - 10
    assert made.members[SHADOW_PLACE].learned == made.members[TAIL].learned - 10


def test_two_members_exchange_their_calibrators():
    made = calibrators()
    model, loda = (made.members[k].to_state() for k in (MODEL, LODA))
    made.adopt({"model": "loda", "loda": "model"})
    assert [made.members[k].to_state() for k in (MODEL, LODA)] == [loda, model]
    assert model != loda


def test_a_restored_state_goes_on_as_if_nothing_had_happened():
    made, again = calibrators(), Calibrators(MEMBERS, SETTINGS)
    again.restore(made.to_state())
    assert again.to_state() == made.to_state()
    further = raw(100, seed=4, level=2.0, field=1.5)
    for mine, theirs in zip(made.learn(further, no_canaries(100)), again.learn(further, no_canaries(100)), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(StateError):
        again.restore(b"nothing")


def test_members_that_find_runs_learn_what_is_rare_with_less_weight():
    kinds = ["point"] * len(NAMES)
    kinds[TAIL] = "drift"
    made = Calibrators(Members(**{**MEMBERS.__dict__, "kinds": kinds}), SETTINGS)
    assert (made.members[TAIL].rare, made.members[TAIL].least) == (1e-3, 0.02)
    assert (made.members[LODA].rare, made.members[LODA].least) == (1e-4, 0.05)
    assert (made.members[LODA].memory, made.members[LODA].warmup) == (1000, WARMUP)
    assert made.for_alerts.steepest == 0.0 < made.together.steepest
