"""Centre and scale of the fields that a trained model was given."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.detectors.fitted.normalisation import Normalisation


@pytest.mark.parametrize(("level", "variation"), [(1e9, 0.5), (1e7, 0.005), (1.7e12, 300.0)])
def test_a_field_that_varies_little_around_a_large_value_has_its_own_scale(level, variation):
    x = level + variation * np.random.default_rng(0).normal(size=(2000, 1))
    assert Normalisation.of(x).scale[0] == pytest.approx(variation, rel=0.1)


def test_a_constant_field_has_its_own_size_as_scale_whatever_rounding_adds():
    x = np.full((100, 1), 0.3)
    x[::3] = 0.1 + 0.2
    assert Normalisation.of(x).scale[0] == pytest.approx(0.3)
