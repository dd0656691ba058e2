"""Peer deviation: an entity leaves the level of the peers that it usually follows."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.detectors.entity.peer_deviation import PeerDeviation


def deviations_of(x, levels):
    """The deviations of one field of one entity."""
    detector = PeerDeviation()
    state = np.zeros((1, 1, detector.numbers_per_feature))
    rows = np.zeros(len(x), np.int64)
    return detector.from_peers(state, rows, x[:, None], levels[:, None])[0][:, 0]


@pytest.fixture
def stream():
    """Levels of the peers, and an entity that follows them until it leaves them at its 400th value."""
    random = np.random.default_rng(0)
    levels = 10.0 + np.cumsum(random.normal(0, 0.3, 410))
    x = levels + random.normal(0, 0.1, 410)
    x[400:] += 1.0
    return x, levels


@pytest.mark.parametrize("at", [0, 1, 2, 5, 12, 19, 40])
@pytest.mark.parametrize("wrong", [-9999.0, 65_535.0, 2.0**31 - 1, 1e308])
def test_one_wrong_value_early_in_a_stream_hides_no_entity_that_leaves_its_peers(stream, at, wrong):
    x, levels = stream
    undisturbed = deviations_of(x, levels)
    x[at] = wrong
    left = deviations_of(x, levels)
    assert left[405] > 0.5 * undisturbed[405] > 2.5
