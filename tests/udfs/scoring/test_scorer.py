"""The scorer takes values through all steps in order, and keeps weights and versions in force."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past, make_candidate
from streamgauge.udfs.control.in_force import InForce
from streamgauge.udfs.control.messages import DetectorVersion, ModelVersion, Weights
from streamgauge.udfs.scoring.calibrate import SHADOW, STEP, Calibrators
from streamgauge.udfs.scoring.detectors import Detectors, EntityState
from streamgauge.udfs.scoring.normalise import PRIOR, WIDTH, featurize
from streamgauge.udfs.scoring.scorer import Fields, Scorer
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import SMALL
from tests.udfs.scoring.stretches import ENTITIES, stretch_of, values

FOREST = {"n_trees": 6, "height": 3, "window_size": 40}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Three versions of a forest of two fields; the first one is live."""
    registry = Registry(str(tmp_path_factory.mktemp("registry")))
    past = Past(values(300), ["x", "y"], np.zeros(300, np.int64))
    for seed in (1, 2, 3):
        registry.publish(*make_candidate("forest", "isolation_forest", past, {"n_trees": 8, "part": 64, "seed": seed}))
    registry.point("forest", "live", 1)
    return registry


def settings_of(registry=None, **forest):
    if registry is None:
        return SMALL
    models = {"registry": registry.url, "history": 3, "use": {"forest": forest}}
    return PipelineSettings.model_validate(SMALL.model_dump() | {"models": models})


def scorer_of(settings, in_force=None):
    made = Scorer(settings, in_force or InForce(settings.decide), Models(settings.models))
    made.widen(2)
    return made


def state_for(scorer):
    return EntityState(np.zeros((ENTITIES, 2, scorer.light_width)), np.zeros((ENTITIES, 2, scorer.rich_width)))


def score(scorer, X):
    return scorer.score(stretch_of(X), Fields(["x", "y"], []), np.empty((len(X), 0)), state_for(scorer), [].append)


def message(version, role="live", share=0.0):
    return ModelVersion(type="model", model="forest", role=role, version=version, share=share)


# ---- one step after the other ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "in_order"), [("records", False), ("fields", True)])
def test_values_are_normalised_looked_at_given_to_the_models_and_calibrated(registry, kind, in_order):
    settings, X, laps = settings_of(registry), values(400), []
    scorer, stretch = scorer_of(settings), stretch_of(X, quarantined=(3,))
    scorer.stream.kind = kind
    state, light = state_for(scorer), np.zeros((ENTITIES, 2, scorer.light_width))
    scored = scorer.score(stretch, Fields(["x", "y"], []), np.empty((400, 0)), state, laps.append)
    assert laps == ["featurize", "detect", "serve", "calibrate"]
    changes, prior = np.zeros(2), np.zeros((2, PRIOR))
    features, steady, usual, variations = featurize(
        light[:, :, :WIDTH], stretch.rows, X, settings.featurize, changes, prior, stretch.quarantined
    )
    detectors, models = Detectors(settings.detectors), Models(settings.models)
    rich = np.zeros((ENTITIES, 2, detectors.rich_width))
    opinions = detectors.detect(kind, stretch, EntityState(light[:, :, WIDTH:], rich), features, np.empty((400, 0)))
    rings = np.zeros((ENTITIES, 2, models.width))
    models.add_opinions(opinions, kind, stretch, ["x", "y"], rings)
    calibrators = Calibrators(scorer.calibrators.of, settings.calibration)
    verdicts = calibrators.calibrate(opinions, stretch.seen, in_order)
    for found, expected in (
        (scored.features, features),
        (scored.steady, steady),
        (scored.usual, usual),
        (scored.variations, variations),
        (scored.opinions.raw_scores, opinions.raw_scores),
        (scored.verdicts.evidence, verdicts.evidence),
        (scored.verdicts.joined, verdicts.joined),
        (scorer.stream.changes, changes),
        (scorer.prior, prior),
        (state.light, light),
        (state.rich, np.concatenate((rich, rings), axis=2)),
    ):
        np.testing.assert_array_equal(found, expected)
    assert scored.categories.shape == (400, 0)
    assert np.isfinite(verdicts.members[:, scorer.members.index("forest")]).any()


def test_the_members_are_the_detectors_then_the_models_and_their_shadows(registry):
    scorer = scorer_of(settings_of(registry, weight=2.5, shadow="2"))
    detectors, of = scorer.detectors, scorer.calibrators.of
    assert scorer.members == of.names == [*detectors.names, "forest", f"forest{SHADOW}"]
    assert of.weights.tolist() == [*detectors.weights.tolist(), 2.5, 0.0]
    assert of.in_nats.tolist() == [*detectors.in_nats.tolist(), False, False]
    assert of.apart.tolist() == [*detectors.apart.tolist(), True, True]
    assert of.ranks.tolist() == [*detectors.ranks.tolist(), True, True]
    assert of.trained.tolist() == [False] * len(detectors.names) + [True, True]
    assert scorer.kinds == of.kinds == [*detectors.kinds, "point", "point"]
    assert of.of_runs is detectors.of_runs
    assert scorer.light_width == WIDTH + detectors.width
    assert scorer.rich_width == detectors.rich_width + 4  # a count, and three values


def test_slots_are_wanted_for_histories_and_for_rich_detectors_of_this_kind_of_stream(registry):
    novelty = {"value_novelty": {"streams": ["series"]}}
    only = dict.fromkeys(SMALL.detectors.model_dump())
    plain = PipelineSettings.model_validate(SMALL.model_dump() | {"detectors": only | novelty})
    scorer = scorer_of(plain)
    for kind, wanted in (("series", True), ("records", False)):
        scorer.stream.kind = kind
        assert scorer.wants_slots == wanted
    with_history = scorer_of(plain.model_copy(update={"models": settings_of(registry).models}))
    with_history.stream.kind = "records"
    assert with_history.wants_slots


def test_light_detectors_that_learn_from_all_entities_are_named():
    only = dict.fromkeys(SMALL.detectors.model_dump())
    chosen = {"levels": {}, "rolling_z_score": {}, "runs": {}}
    scorer = scorer_of(PipelineSettings.model_validate(SMALL.model_dump() | {"detectors": only | chosen}))
    assert [detector.name for detector in scorer.with_cohort] == ["levels"]


def test_room_for_new_fields_keeps_what_is_known_of_the_old_ones():
    scorer = scorer_of(SMALL)
    assert scorer.prior.shape == (2, PRIOR)
    scorer.prior[:] = 7.0
    scorer.widen(4)
    assert scorer.prior[:, 0].tolist() == [7.0, 7.0, 0.0, 0.0]
    assert scorer.stream.fields == 4
    scorer.widen_prior(3)
    assert scorer.prior.shape == (4, PRIOR)


def test_what_was_learned_meanwhile_is_undone_to_the_last_bit():
    scorer = scorer_of(SMALL)
    score(scorer, values(300))
    kept = scorer.detectors, scorer.calibrators, scorer.prior
    calibrators, prior, changes = scorer.calibrators.to_state(), scorer.prior.copy(), scorer.stream.changes.copy()
    forest = scorer.detectors.cohort["half_space_trees"].to_state()
    with scorer.learning_undone():
        score(scorer, values(300, seed=1))
        assert scorer.calibrators.to_state() != calibrators
        assert not np.array_equal(scorer.prior, prior)
    for found, before in zip((scorer.detectors, scorer.calibrators, scorer.prior), kept, strict=True):
        assert found is before
    assert scorer.calibrators.to_state() == calibrators
    assert scorer.detectors.cohort["half_space_trees"].to_state() == forest
    np.testing.assert_array_equal(scorer.prior, prior)
    np.testing.assert_array_equal(scorer.stream.changes, changes)


# ---- versions and weights --------------------------------------------------------------------------------------------


def test_a_version_keeps_its_calibrator_when_a_shadow_becomes_live_and_a_new_one_gets_the_published(registry):
    scorer = scorer_of(settings_of(registry, shadow="2"))
    scorer.adopt_models()
    place = {name: k for k, name in enumerate(scorer.members)}
    assert scorer.served == {"forest": "1", f"forest{SHADOW}": "2"}
    assert scorer.snapshot_wanted
    state = scorer.calibrators.members[place["forest"]].to_state()
    assert state == registry.load("forest", 1).calibrator.to_state()
    score(scorer, values(300))
    of_first, learned = (scorer.calibrators.members[place[name]].to_state() for name in ("forest", f"forest{SHADOW}"))
    scorer.snapshot_wanted = False
    scorer.adopt_models()
    assert not scorer.snapshot_wanted  # nothing has changed
    for live, shadow, version in ((learned, of_first, 2), (of_first, learned, 1), (learned, of_first, 2)):
        scorer.models.take(message(version))
        scorer.adopt_models()
        assert scorer.served == {"forest": str(version), f"forest{SHADOW}": str(3 - version)}
        assert scorer.calibrators.members[place["forest"]].to_state() == live
        assert scorer.calibrators.members[place[f"forest{SHADOW}"]].to_state() == shadow
        assert scorer.snapshot_wanted
        scorer.models.take(message(3 - version, "shadow"))  # the trainer says so too
        scorer.adopt_models()
        assert scorer.calibrators.members[place[f"forest{SHADOW}"]].to_state() == shadow
    scorer.models.take(message(3))
    scorer.adopt_models()
    state = scorer.calibrators.members[place["forest"]].to_state()
    assert state == registry.load("forest", 3).calibrator.to_state() != learned
    scorer.models.take(message(None, "shadow"))
    scorer.adopt_models()
    assert scorer.served == {"forest": "3"}


def test_the_versions_of_an_event_of_a_canary_are_exchanged(registry):
    scorer = scorer_of(settings_of(registry, shadow="2"))
    scorer.adopt_models()
    canaries = np.array([[False], [True]])
    plain, exchanged = scorer.versions(canaries, 0), scorer.versions(canaries, 1)
    assert (plain["forest"], plain[f"forest{SHADOW}"]) == ("1", "2")
    assert (exchanged["forest"], exchanged[f"forest{SHADOW}"]) == ("2", "1")
    assert plain["half_space_trees"] == exchanged["half_space_trees"] == "settings"
    assert scorer.versions(np.empty((2, 0), np.bool_), 1) == plain
    assert scorer.served["forest"] == "1"


def test_weights_in_force_are_taken_at_the_start_and_later_moved_to_in_steps():
    in_force = InForce(SMALL.decide)
    in_force.apply(Weights(type="weights", weights={"rolling_z_score": 3.0}))
    scorer = scorer_of(SMALL, in_force)
    k = scorer.members.index("rolling_z_score")
    assert scorer.calibrators.weights[k] == 3.0
    in_force.apply(Weights(type="weights", weights={"rolling_z_score": 5.0}))
    scorer.take_weights()
    assert scorer.calibrators.weights[k] == 5.0  # the stream has no events yet
    scorer.move_weights()
    assert not scorer.snapshot_wanted
    scorer.stream.count(1)
    in_force.apply(Weights(type="weights", weights={"rolling_z_score": 1.0}))
    scorer.take_weights()
    assert scorer.calibrators.weights[k] == 5.0
    scorer.move_weights()
    assert scorer.calibrators.weights[k] == pytest.approx(5.0 - 4.0 * STEP)
    assert scorer.snapshot_wanted


def test_another_version_of_a_detector_is_made_once_and_is_there_again_after_a_restart():
    in_force = InForce(SMALL.decide)
    scorer = scorer_of(SMALL, in_force)
    sent = DetectorVersion(type="detector", detector="half_space_trees", version="v2", settings=FOREST)
    scorer.swap(sent)
    forest = scorer.detectors.cohort["half_space_trees"]
    assert scorer.snapshot_wanted
    assert {key: forest.settings()[key] for key in FOREST} == FOREST
    scorer.snapshot_wanted = False
    scorer.swap(sent)
    assert scorer.detectors.cohort["half_space_trees"] is forest
    assert not scorer.snapshot_wanted
    in_force.apply(sent)
    assert scorer_of(SMALL, in_force).versions(np.empty((1, 0), np.bool_), 0)["half_space_trees"] == "v2"
