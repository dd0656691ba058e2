"""Where the entities stand together."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.detectors.cohort.cohort_level import CohortLevel


def rounds(n, entities, seed=0):
    random = np.random.default_rng(seed)
    common = np.repeat(np.sin(np.arange(n) / 20), entities)
    Z = common[:, None] + 0.1 * random.normal(size=(n * entities, 1))
    return Z, np.arange(n * entities) < entities, common


def test_the_level_is_that_of_the_peers():
    Z, fresh, common = rounds(100, 30)
    levels = CohortLevel().rate_learn_many(Z, fresh)
    assert np.abs(levels[300:, 0] - common[300:]).max() < 0.2


def test_one_that_is_far_off_moves_it_little():
    Z, fresh, _ = rounds(100, 30)
    usual = CohortLevel().rate_learn_many(Z, fresh)
    Z[1500] = 1e6
    assert np.nanmax(np.abs(CohortLevel().rate_learn_many(Z, fresh) - usual)) < 0.3


def test_fewer_than_eight_entities_have_no_level():
    Z, fresh, _ = rounds(50, 7)
    assert np.isnan(CohortLevel().rate_learn_many(Z, fresh)).all()


@pytest.mark.parametrize("cuts", [[1], [5, 6, 200]])
def test_batches_do_not_matter(cuts):
    Z, fresh, _ = rounds(30, 10)
    Z[::7] = np.nan
    cut = CohortLevel()
    parts = [cut.rate_learn_many(z, s) for z, s in zip(np.split(Z, cuts), np.split(fresh, cuts), strict=True)]
    np.testing.assert_array_equal(np.concatenate(parts), CohortLevel().rate_learn_many(Z, fresh))
