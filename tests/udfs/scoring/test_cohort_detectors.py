"""Detectors of the cohort are given what is normalised, of the events that have it; relations keep something of each entity."""

from __future__ import annotations

import numpy as np
from streamgauge.models.catalog import ENTITY, ONLINE
from streamgauge.models.detectors.cohort.half_space_trees import HalfSpaceTrees
from streamgauge.models.detectors.cohort.relations import Relations
from streamgauge.udfs.scoring.detectors import OWN, Detectors
from streamgauge.udfs.scoring.normalise import CHANNELS

from tests.udfs.scoring.stretches import ENTITIES, detect, empty_state, only, same, state_for, stretch_of, values


def features_of(n, fields, seed=0):
    return np.random.default_rng(seed).uniform(0.1, 0.9, (n, CHANNELS * fields))


def deviations_in(features):
    """The inverse of value / (|value| + 3), which features are made by."""
    centred = 2.0 * features - 1.0
    return 3.0 * centred / (1.0 - np.abs(centred))


COHORT = {
    "half_space_trees": {"n_trees": 4, "height": 4, "window_size": 40},
    "loda": {},
    "conditional_residual": {},
}


def alone(name, X):
    """Raw scores and weights of a detector that nothing stands beside."""
    section = getattr(only(**{name: COHORT[name]}), name)
    return ONLINE[name](**section.model_dump(exclude=OWN)).rate_learn_many(X)


def learn_cohort(detectors, features, categories=None, kind="records"):
    categories = np.empty((len(features), 0)) if categories is None else categories
    return dict(zip(detectors.cohort, detectors.learn_cohort(kind, features, categories), strict=True))


def test_a_detector_of_the_cohort_is_given_levels_changes_or_features():
    detectors, features = Detectors(only(**COHORT)), features_of(600, 2)
    levels = deviations_in(features[:, ::CHANNELS])
    lasts = levels - deviations_in(features[:, 1::CHANNELS])
    given = {"half_space_trees": features, "loda": levels, "conditional_residual": np.hstack((levels, lasts))}
    opinions = learn_cohort(detectors, features)
    for name, X in given.items():
        raw_score, weights = alone(name, X)
        if name == "half_space_trees":  # three features of each field
            weights = weights[:, :CHANNELS].sum(axis=1), weights[:, CHANNELS:].sum(axis=1)
            weights = np.column_stack(weights)
        np.testing.assert_allclose(opinions[name][0], raw_score, rtol=1e-6)
        np.testing.assert_allclose(opinions[name][1], weights, rtol=1e-6)
        assert np.isfinite(raw_score).any()


def test_a_detector_of_the_cohort_has_no_opinion_on_other_kinds_of_streams_or_more_fields_than_it_can_look_at():
    detectors = Detectors(only(loda={"streams": ["series"]}, extreme_value={}, first_seen_category={}))
    most = ONLINE["extreme_value"].max_fields
    opinions = learn_cohort(detectors, features_of(3, most))
    assert {name: opinion is not None for name, opinion in opinions.items()} == {
        "loda": False,
        "extreme_value": True,
        "first_seen_category": False,  # there are no text fields
    }
    assert detectors.cohort["loda"].learned == 0
    wider = Detectors(only(loda={"streams": ["series"]}, extreme_value={}))
    assert list(learn_cohort(wider, features_of(3, most + 1), kind="series").values())[1] is None
    assert wider.cohort["loda"].learned == 3


def test_a_new_field_makes_a_detector_of_the_cohort_wider_and_it_goes_on():
    detectors, two, three = Detectors(only(loda={})), features_of(300, 2), features_of(100, 3, seed=1)
    reference = ONLINE["loda"](**only(loda={}).loda.model_dump(exclude=OWN))
    learn_cohort(detectors, two)
    reference.rate_learn_many(deviations_in(two[:, ::CHANNELS]))
    reference = reference.widened(3)
    raw_score, _ = reference.rate_learn_many(deviations_in(three[:, ::CHANNELS]))
    np.testing.assert_allclose(learn_cohort(detectors, three)["loda"][0], raw_score, rtol=1e-6)
    learn_cohort(detectors, three)
    assert detectors.cohort["loda"].learned == reference.learned + 100


def test_events_without_features_have_no_opinion_of_the_cohort_and_teach_it_nothing():
    detectors, stretch = Detectors(only(levels={}, **COHORT)), stretch_of(values(600))
    features, cold = features_of(600, 2), np.arange(600) % 7 == 0
    features[cold] = np.nan
    opinions = detect(detectors, stretch, "records", features=features)
    usable = learn_cohort(Detectors(only(**COHORT)), features[~cold])
    for name, (raw_score, weights) in usable.items():
        k = detectors.names.index(name)
        same(opinions.raw_scores[~cold, k], raw_score)
        same(opinions.contributions[k][~cold], weights)
        assert np.isnan(opinions.raw_scores[cold, k]).all()
        assert np.isnan(opinions.contributions[k][cold]).all()
    assert detectors.cohort["loda"].learned == (~cold).sum()


def test_text_fields_are_looked_at_in_all_events_also_where_there_are_no_numbers():
    categories = np.random.default_rng(0).integers(0, 3, (600, 2)).astype(np.float64)
    categories[500, 1] = 77.0
    for fields in (0, 2):
        detectors = Detectors(only(first_seen_category={}, loda={}, relations={"streams": ["fields"]}))
        stretch = stretch_of(values(600)[:, :fields])
        opinions = detect(detectors, stretch, "records", categories=categories)
        raw_score, weights = ONLINE["first_seen_category"]().rate_learn_many(categories)
        same(opinions.raw_scores[:, detectors.names.index("first_seen_category")], raw_score)
        same(opinions.categories, weights)
        assert np.isnan(opinions.raw_scores[:, detectors.names.index("loda")]).all()
        assert opinions.categories[500].argmax() == 1


# ---- another version of a forest -------------------------------------------------------------------------------------


def test_a_new_version_of_a_forest_has_learned_what_the_old_one_learned_last():
    detectors, features = Detectors(only(**COHORT)), features_of(100, 2)
    learn_cohort(detectors, features)
    detectors.swap("half_space_trees", "v2", {"n_trees": 6, "height": 3, "window_size": 40})
    reference = HalfSpaceTrees(6, 3, 40)
    reference.learn_many(features[40:])  # the window before the running one, and the running one
    assert detectors.cohort["half_space_trees"].to_state() == reference.to_state()
    assert detectors.versions["half_space_trees"] == "v2"
    assert detectors.versions["loda"] == "settings"


def test_a_version_of_a_detector_that_is_no_forest_or_not_used_changes_nothing():
    detectors = Detectors(only(loda={}))
    before, versions = dict(detectors.cohort), dict(detectors.versions)
    detectors.swap("loda", "v2", {})
    detectors.swap("half_space_trees", "v2", {"n_trees": 6})
    assert (detectors.cohort, detectors.versions) == (before, versions)


def test_versions_that_were_sent_before_a_restart_are_in_force_from_the_start():
    settings = {"n_trees": 6, "height": 3, "window_size": 40}
    sent = {"half_space_trees": {"version": "v7", "settings": settings}}
    detectors = Detectors(only(**COHORT), sent)
    assert detectors.versions["half_space_trees"] == "v7"
    assert detectors.cohort["half_space_trees"].settings() == HalfSpaceTrees(**settings).settings()


# ---- relations -------------------------------------------------------------------------------------------------------


def related(n, fields=2, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, 1)) + 0.3 * random.normal(size=(n, fields))
    X[:, 0] += 1.0 * np.arange(n) % ENTITIES
    return X


def test_relations_are_given_the_deviations_of_the_level_and_keep_what_they_need_of_each_entity():
    detectors = Detectors(only(levels={}, relations={}))
    X, state = related(900), state_for(detectors)
    rows = np.random.default_rng(1).integers(0, ENTITIES, 900)
    stretches = [stretch_of(X[a:b], rows=rows[a:b]) for a, b in ((0, 17), (17, 500), (500, 900))]
    opinions = [detect(detectors, stretch, state=state) for stretch in stretches]
    levels, reference = ENTITY["levels"](), Relations()
    given = rows, X, np.concatenate([stretch.events.times for stretch in stretches]), np.zeros(900, np.bool_)
    deviations = levels.look(empty_state(levels), *given).deviations
    recent, before = (
        np.full((ENTITIES, Relations.recent_columns(2)), np.nan),
        np.empty((900, Relations.recent_columns(2))),
    )
    evidence, of_fields = reference.rate_learn_many(deviations, rows, recent, X, before)
    k = detectors.names.index("relations")
    same(np.concatenate([found.raw_scores[:, k] for found in opinions]), evidence)
    shares = np.exp(of_fields - of_fields.max(axis=1, keepdims=True))
    same([found.contributions[k][i] for found in opinions for i in range(len(found.joined))], shares)
    same(np.concatenate([found.relations for found in opinions]), np.hstack((deviations, X, before)))
    assert detectors.cohort["relations"].to_state() == reference.to_state()
    again = Detectors(only(levels={}, relations={}))
    for found in opinions:
        again.learn_relations(found.relations)
    again.learn_relations(np.empty((0, 0)))
    assert again.cohort["relations"].to_state() == reference.to_state()


def test_relations_need_several_fields_and_not_too_many_in_order():
    most = Relations.max_fields
    for fields, kind, looked in ((1, "fields", 0), (most, "fields", 20), (most + 1, "fields", 0), (2, "unknown", 0)):
        detectors = Detectors(only(levels={}, relations={}))
        opinions = detect(detectors, stretch_of(related(20, fields)), kind)
        assert (detectors.cohort["relations"].learned, len(opinions.relations)) == (looked, looked)


def test_relations_begin_anew_with_more_fields():
    detectors = Detectors(only(levels={}, relations={}))
    detect(detectors, stretch_of(related(300)))
    stretch = stretch_of(related(400, 3, seed=1))
    found = detect(detectors, stretch)
    deviations, recent = found.relations[:, :3], np.full((ENTITIES, Relations.recent_columns(3)), np.nan)
    evidence, _ = Relations().rate_learn_many(deviations, stretch.rows, recent, stretch.X)
    same(found.raw_scores[:, detectors.names.index("relations")], evidence)
    assert detectors.cohort["relations"].learned == 400
