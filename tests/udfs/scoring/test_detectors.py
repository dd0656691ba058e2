"""Which members the detectors are; and light detectors, of which each gives the opinion that it would give alone."""

from __future__ import annotations

import numpy as np
from streamgauge.models.catalog import ENTITY
from streamgauge.models.detectors.channel.calendar import Calendar
from streamgauge.udfs.scoring.detectors import Detectors
from streamgauge.udfs.scoring.field_relations import KEPT

from tests.udfs.scoring.stretches import detect, empty_state, only, same, state_for, stretch_of, values

# ---- which members there are -----------------------------------------------------------------------------------------


def test_the_members_are_the_channels_what_joins_them_and_the_detectors_light_ones_first():
    chosen = only(
        value_novelty={"weight": 2.5},
        runs={},
        levels={},
        rolling_z_score={"weight": 3.0},
        extreme_value={"weight": 0.5},
        peer_deviation={},
        relations={},
    )
    detectors = Detectors(chosen)
    members = list(
        zip(
            detectors.names,
            detectors.weights.tolist(),
            detectors.in_nats.tolist(),
            detectors.apart.tolist(),
            detectors.ranks.tolist(),
            detectors.kinds,
            strict=True,
        )
    )
    assert members == [
        ("level", 1.0, True, True, True, "point"),
        ("change", 1.0, True, True, True, "point"),
        ("departure", 1.0, True, True, True, "point"),
        ("recent", 1.0, True, True, True, "point"),
        ("sum of deviations", 1.0, True, True, False, "collective"),
        ("flat line", 1.0, True, True, False, "collective"),
        ("spread", 1.0, True, True, False, "collective"),
        ("missing beat", 1.0, True, True, False, "contextual"),
        ("rising floor", 1.0, True, True, False, "drift"),
        ("field", 1.0, False, True, True, "point"),
        ("fields", 1.0, False, True, True, "point"),
        ("rolling_z_score", 3.0, False, True, True, "point"),
        ("peer_deviation", 1.0, False, True, True, "relative"),
        ("value_novelty", 2.5, True, True, True, "point"),
        ("extreme_value", 0.5, True, True, False, "point"),
        ("relations", 1.0, True, True, True, "contextual"),
    ]
    assert detectors.of_runs.tolist() == [False] * 4 + [True] * 5
    assert detectors.versions == dict.fromkeys(detectors.names, "settings")
    assert [detector.name for detector in detectors.light] == ["levels", "rolling_z_score"]
    assert [detector.name for detector in detectors.rich] == ["runs", "peer_deviation", "value_novelty"]
    assert list(detectors.cohort) == ["extreme_value", "relations"]
    assert detectors.width == sum(d.numbers_per_feature for d in detectors.light) + KEPT
    assert detectors.rich_width == sum(d.numbers_per_feature for d in detectors.rich)
    assert not detectors.categorical


def test_channels_of_two_detectors_with_the_same_name_are_one_and_the_calendar_is_that_of_the_settings():
    calendar = Calendar("Europe/Berlin")
    detectors = Detectors(only(levels={}, day_profile={}), None, calendar)
    assert [channel.name for channel in detectors.channels] == [
        "level",
        "change",
        "departure",
        "recent",
        "time of day",
        "recent by time of day",
    ]
    assert detectors.rich[0].calendar is calendar
    assert Detectors(only(day_profile={})).rich[0].calendar is not None


def test_rich_detectors_look_at_the_kinds_of_streams_that_are_chosen():
    detectors = Detectors(only(value_novelty={"streams": ["series"]}, rolling_z_score={}))
    assert [detectors.rich_on(kind) for kind in ("series", "fields", "records", "unknown")] == [True] + [False] * 3
    assert Detectors(only(value_novelty={})).rich_on("unknown")
    assert not Detectors(only(rolling_z_score={})).rich_on("series")
    assert Detectors(only(first_seen_category={})).categorical


# ---- light detectors -------------------------------------------------------------------------------------------------


def test_a_light_detector_gives_the_opinion_that_it_gives_alone_whatever_stands_beside_it():
    detectors = Detectors(only(levels={}, rolling_z_score={"warmup": 5}, level_shift={}))
    stretch, state = stretch_of(values(400)), state_for(detectors)
    opinions = detect(detectors, stretch, state=state)
    given = stretch.rows, stretch.X, stretch.events.times
    levels, z_score = ENTITY["levels"](), ENTITY["rolling_z_score"](warmup=5)
    alone = empty_state(levels)
    found = levels.look(alone, *given, stretch.quarantined)
    same(opinions.looks, found.evidence)
    raw_score, deviations, expected = z_score.rate_learn_entities(empty_state(z_score), *given)
    k = detectors.names.index("rolling_z_score")
    same(opinions.raw_scores[:, k], raw_score)
    same(opinions.contributions[k], deviations**2)
    same(opinions.expected[0], np.where(np.isnan(found.expected), expected, found.expected))
    same(state.light[:, :, : levels.numbers_per_feature], alone)


def test_a_light_detector_learns_streams_of_other_kinds_but_has_no_opinion_on_them():
    chosen = {"levels": {"streams": ["series"]}, "rolling_z_score": {"warmup": 5, "streams": ["series"]}}
    detectors, stretch = Detectors(only(**chosen)), stretch_of(values(200))
    silent, heard = state_for(detectors), state_for(detectors)
    unheard = detect(detectors, stretch, "records", silent)
    opinions = detect(Detectors(only(**chosen)), stretch, "series", heard)
    assert np.isnan(unheard.looks).all()
    assert np.isnan(unheard.raw_scores).all()
    assert unheard.contributions[-1] is None
    same(silent.light, heard.light)
    same(unheard.expected[0], opinions.expected[0])


def test_quarantined_events_are_scored_but_not_learned_by_a_detector_that_says_so():
    detectors = Detectors(only(rolling_z_score={"warmup": 5}))
    state = state_for(detectors)
    detect(detectors, stretch_of(values(200)), state=state)
    before = state.light.copy()
    stretch = stretch_of(values(60, seed=1), quarantined=(0, 3))
    opinions = detect(detectors, stretch, state=state)
    alone, copy = ENTITY["rolling_z_score"](warmup=5), before.copy()
    expected = np.empty(len(stretch))
    for i in range(len(stretch)):
        one = slice(i, i + 1)
        learn = stretch.rows[i] not in (0, 3)
        given = stretch.rows[one], stretch.X[one], stretch.events.times[one]
        expected[i] = alone.rate_learn_entities(copy, *given, learn)[0][0]
    same(opinions.raw_scores[:, detectors.names.index("rolling_z_score")], expected)
    same(state.light, copy)
    same(state.light[[0, 3]], before[[0, 3]])
