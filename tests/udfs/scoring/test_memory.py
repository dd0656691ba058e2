"""A detector of the cohort that would take too much memory is refused before it is made."""

from __future__ import annotations

import pytest
from streamgauge.models.catalog import COHORT
from streamgauge.models.contract import MOST_BYTES
from streamgauge.udfs.scoring.memory import check_memory
from streamgauge.udfs.scoring.normalise import CHANNELS
from streamgauge.udfs.settings.detectors import HalfSpaceTreesSettings, LodaSettings


def test_the_message_names_the_detector_what_it_would_take_and_what_is_allowed():
    with pytest.raises(
        ValueError, match=r"^detectors.half_space_trees would take \d{4,} MB for each partition with "
    ) as told:
        check_memory("half_space_trees", HalfSpaceTreesSettings(n_trees=100, height=20), 100)
    assert "event.max_fields 100; 500 MB are allowed: make it smaller" in str(told.value)
    check_memory("half_space_trees", HalfSpaceTreesSettings(), 100)


def largest(fields):
    """Settings of a forest with the largest window that so many fields allow, and its bytes."""
    forest = COHORT["half_space_trees"]
    empty = forest.bytes_for(CHANNELS * fields, n_trees=1, height=1, window_size=1)
    each = forest.bytes_for(CHANNELS * fields, n_trees=1, height=1, window_size=2) - empty
    window = 1 + (MOST_BYTES - empty) // each
    return HalfSpaceTreesSettings(n_trees=1, height=1, window_size=window)


def test_a_detector_of_features_has_three_columns_for_each_field():
    settings = largest(4000)
    check_memory("half_space_trees", settings, 4000)
    with pytest.raises(ValueError, match="half_space_trees"):
        check_memory("half_space_trees", settings, 4001)


def test_fields_beyond_the_most_that_a_detector_looks_at_take_nothing():
    most = COHORT["half_space_trees"].max_fields
    check_memory("half_space_trees", largest(most), 10 * most)
    check_memory("loda", LodaSettings(weight=3.0), 10**6)
