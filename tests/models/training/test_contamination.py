"""Data are examined before they are trained on: no single sender, no repeats, and no strange minority decides what is usual."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.errors import InputError
from streamgauge.models.training.contamination import examine

N = 4000


def usual(seed=0, d=3):
    random = np.random.default_rng(seed)
    return random.normal(size=(N, d)), random.integers(0, 40, N)


@pytest.mark.parametrize(
    "made",
    [
        lambda r: r.normal(size=(N, 3)), lambda r: np.exp(2 * r.normal(size=(N, 3))), lambda r: r.standard_t(2, size=(N, 2)),
        lambda r: r.integers(0, 4, (N, 2)).astype(float), lambda r: np.sin(np.arange(N) / 50)[:, None] + r.normal(size=(N, 2)),
        lambda r: np.where(r.random((N, 2)) < 0.3, np.nan, r.normal(size=(N, 2))), lambda r: np.ones((N, 2)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_usual_is_kept(made, seed):
    random = np.random.default_rng(seed)
    found = examine(made(random), random.integers(0, 40, N))
    assert (found.kept.all(), found.crowded, found.far) == (True, 0.0, 0.0)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("side", [1, -1])
def test_a_minority_beyond_a_gap_is_left_out(share, side):
    X, groups = usual()
    strange = np.random.default_rng(1).random(N) < share
    X[strange, 1] += side * 30
    found = examine(X, groups)
    np.testing.assert_array_equal(found.kept, ~strange)
    assert found.figures["far"] == pytest.approx(strange.mean(), abs=1e-4)


def test_values_within_the_range_from_before_are_kept_and_a_majority_is_drift():
    X, groups = usual()
    idle = np.random.default_rng(1).random(N) < 0.1
    X[idle, 1] += 30
    assert examine(X, groups, np.full(3, -5.0), np.full(3, 40.0)).far == 0.0
    assert examine(X, groups, np.full(3, -5.0), np.full(3, 5.0)).far > 0.05
    X, groups = usual()
    X[np.random.default_rng(1).random(N) < 0.7, 1] += 30
    assert examine(X, groups, np.full(3, -40.0), np.full(3, 5.0)).far == 0.0


def test_the_entity_that_sends_most_keeps_its_newest_events_and_no_more_than_its_share():
    X, groups = usual()
    groups[np.random.default_rng(1).random(N) < 0.6] = 7
    found = examine(X, groups)
    kept = np.flatnonzero((groups == 7) & found.kept)
    assert len(kept) == 0.2 * N
    assert kept.tolist() == np.flatnonzero(groups == 7)[-len(kept) :].tolist()
    assert (found.kept | (groups == 7)).all()
    alone = examine(*usual()[:1], np.zeros(N, np.int64))
    assert alone.kept.all()  # the only one there is


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_repeats_are_refused_unless_the_fields_have_few_values(missing):
    X, groups = usual()
    X[np.random.default_rng(2).random(X.shape) < missing] = np.nan
    X[N // 3 :] = X[np.arange(N // 3, N) % (N // 3)]
    with pytest.raises(InputError, match=r"6[78]% of the events are copies of others, 50% are allowed"):
        examine(X, groups)


def test_data_that_have_not_settled_are_told():
    X, groups = usual()
    assert examine(X, groups).moving < 0.1
    X[:, 0] += np.linspace(0, 5, N)
    assert examine(X, groups).moving > 1.0
