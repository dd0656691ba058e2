"""Relations between fields: what is found and named, what it costs to look at many fields, and what blinds nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import lfilter
from streamgauge.models.detectors.cohort.relation_kernels import BITS, LOW, STEP, fit_tails, tail_evidence
from streamgauge.models.detectors.cohort.relations import Relations


def doubled(n: int = 4000, d: int = 6, seed: int = 0, noise: float = 0.05):
    """Fields in standard deviations: the second is twice the first but for a little noise, the others are by themselves."""
    random = np.random.default_rng(seed)
    X = lfilter([math.sqrt(1 - 0.81)], [1.0, -0.9], random.normal(size=(n, d)), axis=0)
    X[:, 1] = (X[:, 0] + noise * random.normal(size=n)) / math.sqrt(1 + noise**2)
    return X


@pytest.mark.parametrize("seed", range(5))
def test_a_broken_relation_is_found_at_once_and_one_of_its_fields_named(seed):
    X = doubled(seed=seed)
    X[3500:3510, 1] = X[3500:3510, 1] * 0.2 + 0.8  # within its usual range
    evidence, fields = Relations().rate_learn_many(X)
    assert evidence[3500:3510].max() > evidence[1000:3500].max()
    assert evidence[3500:3510].max() > 8.0
    assert set(fields[3500:3510].argmax(axis=1)[evidence[3500:3510] > 7.0]) <= {0, 1}


@pytest.mark.parametrize("d", [1, 2, 5, 20, 100])
def test_a_field_far_out_among_many_pays_no_more_than_the_price_of_the_looks(d):
    random = np.random.default_rng(d)
    X = random.normal(size=(4000, d))
    X[3900, d // 2] = 9.0
    evidence, fields = Relations().rate_learn_many(X)
    assert fields[3900].argmax() == d // 2
    assert evidence[3900] >= fields[3900, d // 2] - math.log(d) - math.log(2.0) - 1e-9
    assert fields[3900, d // 2] > 9.0
    assert evidence[3900] == np.nanmax(evidence)


@pytest.mark.parametrize("process", ["normal", "autoregressive", "heavy", "integers", "two values"])
@pytest.mark.parametrize("d", [2, 20])
def test_false_alarms_keep_the_promise(process, d):
    random = np.random.default_rng(7)
    n = 30_000
    X = random.normal(size=(n, d))
    if process == "autoregressive":
        X = lfilter([math.sqrt(1 - 0.81)], [1.0, -0.9], X, axis=0)
    if process == "heavy":
        X = random.standard_t(3, size=(n, d)) / math.sqrt(3.0)
    if process == "integers":
        X = (random.poisson(3.0, size=(n, d)) - 3.0) / math.sqrt(3.0)
    if process == "two values":
        X = np.where(random.random((n, d)) < 0.005, 14.0, -0.07)
    evidence, fields = Relations().rate_learn_many(X, values=X)
    for limit in (5.0, 7.0):
        promised = math.exp(-limit)
        slack = 3.0 * math.sqrt(promised / n)
        told = evidence[1000:] >= limit
        assert np.mean(told[1:] & ~told[:-1]) <= 2.0 * promised + slack  # an episode counts once
        assert np.mean(fields[1000:] >= limit) <= 2.0 * promised + slack


@pytest.mark.parametrize("value", [1e308, -1e308, math.inf, -math.inf, math.nan, -9999.0, 65535.0])
def test_one_bad_value_blinds_nothing(value):
    X = doubled()
    X[3000, 0] = value
    X[3300:3310, 1] = -X[3300:3310, 1] + 1.0
    detector = Relations()
    evidence, _ = detector.rate_learn_many(X)
    assert np.isfinite(evidence[detector.warmup :]).all()
    assert evidence[3300:3310].max() > 9.0
    assert np.median(evidence[3050:3150]) < 3.0
    for name in Relations.arrays:
        if name not in ("_table", "_numbers"):
            assert np.isfinite(getattr(detector, name)).all(), name


def test_a_field_that_is_never_there_and_one_that_never_varies_say_nothing():
    X = doubled()
    X[:, 3], X[:, 4] = np.nan, 0.0
    evidence, fields = Relations().rate_learn_many(X)
    assert (fields[:, 3] == 0.0).all()
    assert fields[:, 4].max() < 5.0
    assert np.isfinite(evidence[128:]).all()


def test_a_field_of_two_values_explains_but_does_not_lead():
    random = np.random.default_rng(3)
    command = (random.random(6000) < 0.004).astype(float)
    X = np.column_stack((command / 0.07, random.normal(size=6000), random.normal(size=6000)))
    _, known = Relations().rate_learn_many(X, values=X)
    _, unknown = Relations().rate_learn_many(X)
    assert known[1000:, 0].max() < 3.0 < unknown[1000:, 0].max()


def test_cuts_of_the_stream_change_nothing():
    X = doubled(1500)
    slots = np.arange(1500) % 7
    whole, cut = Relations(), Relations()
    kept = [np.full((7, Relations.recent_columns(6)), np.nan) for _ in range(2)]
    expected = whole.rate_learn_many(X, slots, kept[0], X)
    parts, start = [], 0
    for stop in (1, 2, 33, 100, 128, 131, 500, 1411, 1500):
        parts.append(cut.rate_learn_many(X[start:stop], slots[start:stop], kept[1], X[start:stop]))
        start = stop
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), expected[0])
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), expected[1])
    np.testing.assert_array_equal(kept[0], kept[1])
    assert cut.to_state() == whole.to_state()


def test_state_goes_on_where_it_was():
    X = doubled(900)
    detector = Relations(ridge=0.2)
    detector.rate_learn_many(X[:700])
    again = Relations.from_state(detector.to_state())
    assert again.settings() == detector.settings()
    np.testing.assert_array_equal(again.rate_learn_many(X[700:])[0], detector.rate_learn_many(X[700:])[0])


def test_to_score_is_not_to_learn():
    X = doubled(900)
    detector = Relations()
    detector.learn_many(X[:700])
    before = detector.to_state()
    scores = detector.score_many(X[700:])
    assert detector.to_state() == before
    assert ((scores >= 0.0) & (scores < 1.0)).all()


def test_the_model_of_normal_does_not_follow_a_fault():
    X = doubled(12_000)
    for start in range(4000, 12_000, 1000):
        X[start : start + 60, 1] = -X[start : start + 60, 1]
    evidence, _ = Relations().rate_learn_many(X)
    peaks = [evidence[start : start + 60].max() for start in range(4000, 12_000, 1000)]
    assert min(peaks) > 6.0  # the eighth time as well
    faulty = np.zeros(len(X), bool)
    for start in range(4000, 12_000, 1000):
        faulty[start : start + 160] = True
    assert np.median(evidence[~faulty & (np.arange(len(X)) > 1000)]) < 2.0


def test_an_entity_has_a_memory_of_its_own():
    X = doubled(4000)
    slots = np.arange(4000) % 2
    recent = np.full((2, Relations.recent_columns(6)), np.nan)
    X[3000:3040:2, 1] = -X[3000:3040:2, 1] + 1.0  # the first entity
    evidence, _ = Relations().rate_learn_many(X, slots, recent)
    assert np.median(evidence[3000:3040:2]) > np.median(evidence[3001:3041:2]) + 3.0


def test_the_tail_of_a_pareto_law_is_found():
    random = np.random.default_rng(0)
    sizes = (1.0 - random.random(200_000)) ** (-1 / 3.0)  # P(size > x) = x**-3
    counts = np.zeros((1, BITS))
    places = np.clip(((np.log2(sizes) - LOW) / STEP).astype(int), 0, BITS - 1)
    np.add.at(counts[0], places, 1.0)
    tails = np.ones((1, 3))
    fit_tails(counts, tails)
    for x in (5.0, 10.0, 30.0):
        assert tail_evidence(x, tails[0]) == pytest.approx(3.0 * math.log(x), rel=0.08)


def alike(n: int, share: float, seed: int = 0):
    """Four fields, of which a part of the variance is common."""
    random = np.random.default_rng(seed)
    common, own = random.normal(size=(n, 1)), random.normal(size=(n, 4))
    return math.sqrt(share) * common + math.sqrt(1.0 - share) * own


@pytest.mark.parametrize("since", [0, 3000])
@pytest.mark.parametrize("share", [0.0, 0.95])
def test_a_field_that_comes_late_or_comes_back_after_long_is_usual(share, since):
    X = alike(17_000, share)
    X[since:15_000, 3] = np.nan
    evidence, fields = Relations().rate_learn_many(X)
    assert (evidence[15_000:] > 7.0).mean() < 0.01
    assert (fields[15_000:, 3] > 7.0).mean() < 0.01


@pytest.mark.parametrize("missing", ["some", "all but one"])
def test_a_shift_is_found_where_values_are_missing(missing):
    n = 20_000
    X, random = alike(n, 0.95), np.random.default_rng(1)
    X[15_000:, 0] += 3.0
    if missing == "some":
        X[random.random(X.shape) < 0.4] = np.nan
    else:  # one measurement a record
        X = np.where(np.arange(n)[:, None] % 4 == np.arange(4), np.repeat(X[::4], 4, axis=0), np.nan)
    evidence, _ = Relations().rate_learn_many(X)
    assert (evidence[1000:15_000] > 7.0).mean() < 0.002
    assert (evidence[15_000:15_500] > 7.0).mean() > 0.5


def test_a_state_that_did_not_count_pairs_of_fields_is_read():
    from streamgauge.models.persistence.codec import pack, unpack

    X = doubled(2500)
    now = Relations()
    now.rate_learn_many(X[:2000])
    meta, arrays = unpack(now.to_state(), now.name, now.state_version)
    del arrays["_totals"]
    earlier = Relations.from_state(pack(now.name, now.state_version, meta, arrays))
    np.testing.assert_allclose(earlier.rate_learn_many(X[2000:])[0], now.rate_learn_many(X[2000:])[0], rtol=1e-9)


def test_pairs_of_fields_that_contradict_each_other_do_no_harm():
    """The first is like the second, the second like the third, and the third is the opposite of the first, in different events."""
    random = np.random.default_rng(0)
    X, common = 0.1 * random.normal(size=(9000, 3)), random.normal(size=(9000, 1))
    X[0::3, :2] += common[0::3]
    X[1::3, 1:] += common[1::3]
    X[2::3, ::2] += common[2::3] * (1.0, -1.0)
    X[0::3, 2] = X[1::3, 0] = X[2::3, 1] = np.nan
    evidence, _ = Relations(ridge=0.01).rate_learn_many(X)
    assert (evidence[2000:] > 7.0).mean() < 0.005


@pytest.mark.parametrize("gone", [1, 2])
@pytest.mark.parametrize("share", [0.0, 0.95, 0.99])
def test_other_fields_stay_usual_when_one_that_explains_them_goes(share, gone):
    X = alike(13_000, share)
    X[8000:, 4 - gone :] = np.nan
    evidence, _ = Relations().rate_learn_many(X)
    assert (evidence[8000:] > 7.0).mean() < 0.01
