"""The promise of several partitions together, by the age of the entities."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.jobs.studies.promise import days_by_age, together
from streamgauge.udfs.incidents.promise import AGES, DAY


def report(promised, achieved, opened):
    by_age = {age: {"events": 10, "promised": 0.5, "opened": opened} for age in AGES}
    return {"promised": promised, "achieved": achieved, "by_age": by_age}


def test_rates_are_as_reported_last_and_counts_are_sums():
    figures = together([(0, report(1, 2, 1)), (1, report(3, 4, 0)), (0, report(5, 6, 2))])
    assert (figures["promised"], figures["achieved"]) == (8, 10)
    assert figures["by_age"]["later"] == {"events": 30, "promised": 1.5, "opened": 3}
    assert together([]) is None


def test_the_age_of_an_entity_begins_with_its_first_event():
    times = (np.array([0, 0.5, 3, 3.25, 9, 12]) * DAY).astype(np.int64)
    days = days_by_age(["a", "a", "b", "b", "a", "b"], times)
    assert days == pytest.approx({"day_1": 3.25, "days_2_to_7": 0.0, "later": 3.0})
    assert days_by_age([], times[:0]) == dict.fromkeys(AGES, 0.0)
