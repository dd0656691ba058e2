"""The state of a calibrator that does not fit is refused; one that fits goes on with its settings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from streamgauge.models.calibration.calibration import TailCalibrator, odds
from streamgauge.models.errors import StateError
from streamgauge.models.persistence.codec import pack, unpack

SETTINGS = {"memory": 300, "warmup": 7, "rare": 1e-3, "least": 0.2, "steepest": 0.5}


def state(changes=(), arrays=()):
    meta, known = unpack(TailCalibrator(**SETTINGS).to_state(), "tail_calibrator", 2)
    return pack("tail_calibrator", 2, meta | dict(changes), known | dict(arrays))


def test_settings_are_part_of_the_state():
    again = TailCalibrator.from_state(state())
    assert {name: getattr(again, name) for name in SETTINGS} == SETTINGS
    TailCalibrator.from_state(state({"memory": 1}))


@pytest.mark.parametrize(
    "changes",
    [
        {"memory": 0},
        {"memory": 0.5},
        {"rare": 0},
        {"rare": 1},
        {"rare": -0.1},
        {"warmup": math.nan},
        {"least": "much"},
        {"colour": 1},
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(changes):
    with pytest.raises(StateError, match="settings that do not fit"):
        TailCalibrator.from_state(state(changes))


@pytest.mark.parametrize("name", ["counts", "sums", "above", "numbers"])
def test_arrays_that_the_kernel_would_leave_are_refused(name):
    for wrong in (np.zeros(7), np.zeros(1024, np.int64), np.zeros((8, 8))):
        with pytest.raises(StateError, match=name):
            TailCalibrator.from_state(state(arrays={name: wrong}))


def test_odds_keep_the_order_of_scores_up_to_one():
    np.testing.assert_allclose(odds(np.array([0.0, 0.5, 0.9])), [0.0, 1.0, 9.0])
    assert odds(np.array([1.0 - 1e-9]))[0] < odds(np.array([1.0]))[0] < math.inf


def test_what_is_learned_is_counted_and_ready_comes_with_the_warm_up():
    calibrator = TailCalibrator(warmup=5)
    assert (calibrator.learned, calibrator.ready) == (0, False)
    calibrator.rate_learn_many(np.array([1.0, math.nan, 2.0, 3.0, 0.0]))
    assert (calibrator.learned, calibrator.ready) == (4, False)
    calibrator.rate_learn_many(np.array([1.0]))
    assert (calibrator.learned, calibrator.ready) == (5, True)


def test_a_state_of_format_2_has_three_tables_and_eight_numbers():
    arrays = {name: np.ones(1024) for name in ("counts", "sums", "above")} | {"numbers": np.arange(8.0)}
    again = TailCalibrator.from_state(pack("tail_calibrator", 2, SETTINGS, arrays))
    assert again.learned == 5
    assert again.to_state() == pack("tail_calibrator", 2, SETTINGS, arrays)
