"""Which series of a backtest are shown, and what their values are."""

from __future__ import annotations

import math

import numpy as np
from streamgauge.jobs.studies.incident_series import MOST_SERIES, as_numbers, choose
from streamgauge.jobs.studies.judging import Opening


def incident(entity, field, severity):
    first = {"contributions": {field: 0.6, "other": 0.4} if field else {}}
    return Opening(0, 0, entity, "point", "low", first, {"severity": severity, "state": "resolved"})


def test_the_severest_entities_come_first_and_then_those_with_the_most_incidents():
    stream = [*[incident("often", "x", "low")] * 3, incident("once", "x", "low"), incident("badly", None, "critical")]
    chosen = choose([stream, [incident("once", "y", "high")]])
    assert list(chosen) == [(0, "badly", None), (1, "once", "y"), (0, "often", "x"), (0, "once", "x")]
    assert len(chosen[0, "often", "x"]) == 3


def test_no_entity_gets_a_second_series_while_another_one_has_none():
    wide = [incident("wide", f"f{k}", "critical") for k in range(20)]
    chosen = list(choose([[*wide, incident("narrow", "x", "low")]]))
    assert chosen == [*((0, "wide", f"f{k}") for k in range(MOST_SERIES - 1)), (0, "narrow", "x")]


def test_what_is_no_finite_number_is_missing():
    values = [1, "two", None, True, math.inf, [3], 10**400]
    expected = [1, np.nan, np.nan, 1, np.nan, np.nan, np.finfo(float).max]
    np.testing.assert_array_equal(as_numbers(values), expected)
