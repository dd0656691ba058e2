"""Severity follows from how rare an event is and how large its effect is; settings go on top."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from streamgauge.udfs.incidents.effects import Effects
from streamgauge.udfs.incidents.kinds import SEVERITIES
from streamgauge.udfs.incidents.rules import Violations
from streamgauge.udfs.incidents.severity import CRITICAL, MEDIUM, severities_of
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.settings.rules import Rule

from tests.streams import Run, batch

THRESHOLD = 1e-4
UNKNOWN = math.nan


def severity(powers, size=UNKNOWN, relative=UNKNOWN, nothing_left=False, steady=False, most=CRITICAL, rule=None):
    """The severity of an event that is by so many powers of ten rarer than the threshold."""
    flag, ints = np.zeros(1, np.bool_), np.zeros(1, np.int64)
    effects = Effects(
        ints, ints, np.array([size]), np.array([relative]), flag | nothing_left, flag | steady, flag, flag
    )
    needed = -math.log(THRESHOLD)
    evidence = np.array([needed + powers * math.log(10.0)])
    broken = Violations(flag | (rule is not None), [(rule, ~flag)] if rule else [])
    [found] = severities_of(evidence, np.array([needed]), effects, np.array([most]), broken, ~flag)
    return SEVERITIES[found]


@pytest.mark.parametrize(
    ("size", "relative", "at_the_threshold", "ten_times_rarer", "hundred_times", "ten_thousand_times"),
    [
        (2.9, 0.09, "low", "low", "low", "low"),
        (2.9, 0.11, "low", "medium", "medium", "medium"),
        (3.0, 0.09, "low", "medium", "medium", "medium"),
        (5.9, 9.0, "low", "medium", "medium", "medium"),
        (4.0, math.inf, "low", "medium", "medium", "medium"),  # 4 errors where hardly any are usual
        (6.1, 0.01, "low", "medium", "high", "critical"),
        (9.9, 0.9, "low", "medium", "high", "critical"),
        (10.0, 0.49, "low", "medium", "high", "critical"),
        (10.0, 0.5, "medium", "high", "critical", "critical"),
        (UNKNOWN, UNKNOWN, "low", "medium", "high", "critical"),
    ],
)
def test_rarity_gives_the_severity_and_size_bounds_or_raises_it(
    size, relative, at_the_threshold, ten_times_rarer, hundred_times, ten_thousand_times
):
    found = [severity(powers, size, relative) for powers in (0.01, 1.01, 2.01, 4.01)]
    assert found == [at_the_threshold, ten_times_rarer, hundred_times, ten_thousand_times]


def test_a_drop_to_nothing_is_at_least_high():
    assert severity(0.01, size=4.0, relative=1.0, nothing_left=True) == "high"
    assert severity(4.01, size=12.0, relative=1.0, nothing_left=True) == "critical"


def test_a_field_that_never_varied_is_low_whatever_its_size_unless_it_drops_to_nothing():
    assert severity(9.0, size=1e6, relative=1e6, steady=True) == "low"
    assert severity(0.01, relative=1.0, steady=True, nothing_left=True) == "high"


def test_the_smallest_effect_of_the_settings_goes_on_top():
    assert severity(9.0, size=50.0, relative=3.0, nothing_left=True, most=MEDIUM) == "medium"


def test_a_broken_rule_has_the_severity_of_the_settings_or_that_of_the_event_if_it_is_higher():
    rule = Rule(id="r", when="x < 0", severity="medium")
    assert severity(-4.0, rule=rule) == "medium"
    assert severity(4.01, rule=rule) == "critical"


# ---- in a stream ------------------------------------------------------------------------------------------------------


def opened(values, **decide):
    """The severity of each incident that opens in a series, by offset."""
    raw = PipelineSettings().model_dump()
    raw["decide"] |= decide
    stamps = 1_760_000_000_000 + 60_000 * np.arange(len(values))
    run = Run(PipelineSettings.model_validate(raw)).feed(
        batch([{"entity": "e", "x": float(v)} for v in values], stamps=stamps)
    )
    alerts = [json.loads(text)["data"] for _, text in run.alerts]
    return {d["source"]["offset"]: d["severity"] for d in alerts if d["state"] == "opened"}


RANDOM = np.random.default_rng(0)


def test_a_drop_to_nothing_of_a_stream_is_at_least_high():
    values = RANDOM.normal(100, 5, 1500)
    values[1400:1410] = 0.0
    assert opened(values)[1400] in ("high", "critical")


def test_a_large_effect_is_more_severe_than_a_small_one():
    values = RANDOM.normal(100, 5, 3000)
    values[2000], values[2500] = 125.0, 500.0
    found = opened(values, threshold=1e-3)
    assert SEVERITIES.index(found[2000]) < SEVERITIES.index(found[2500])
