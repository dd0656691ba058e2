"""What the members of trained models find in events, by themselves; versions and shares that change; and probes."""

from __future__ import annotations

import time

import numpy as np
import pytest
from streamgauge.models.detectors.network.imported_network import ImportedNetwork
from streamgauge.models.errors import ModelError, SettingsError
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past, candidate_of, make_candidate
from streamgauge.udfs.control.messages import ModelVersion
from streamgauge.udfs.control.shares import is_canary
from streamgauge.udfs.scoring.calibrate import SHADOW
from streamgauge.udfs.scoring.opinions import EVIDENCE, Opinions
from streamgauge.udfs.scoring.trained_models import FAR, Models, either
from streamgauge.udfs.settings.pipeline import ModelsSettings

from tests.onnx_networks import distance
from tests.udfs.scoring.stretches import stretch_of

FIELDS = ["b", "a", "c"]  # not the stream's order
COLUMNS = ["a", "other", "b", "c"]
AT = [2, 0, 3]
STEPS = 3


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """A forest in two versions and one for another stream, and a mixture of two of its fields."""
    X = np.random.default_rng(0).normal([20.0, 0.0, 10.0], [3.0, 1.0, 2.0], (300, 3))
    registry = Registry(str(tmp_path_factory.mktemp("registry")))
    past = Past(X, FIELDS, np.arange(300, dtype=np.int64) % 3)
    for seed in (1, 2):
        registry.publish(*make_candidate("forest", "isolation_forest", past, {"n_trees": 8, "part": 64, "seed": seed}))
    two = Past(X[:, :2], FIELDS[:2], np.zeros(300, np.int64))
    registry.publish(*make_candidate("mixture", "gaussian_mixture", two))
    elsewhere = Past(X[:, :1], ["elsewhere"], np.zeros(300, np.int64))
    registry.publish(*make_candidate("forest", "isolation_forest", elsewhere, {"n_trees": 8, "part": 64}))
    for name in ("forest", "mixture"):
        registry.point(name, "live", 1)
    registry.point("forest", "next", 2)
    return registry


@pytest.fixture(scope="module")
def with_waves(registry):
    """The same registry, and in it a forecaster of sequences, which takes longer to make."""
    past = Past(np.random.default_rng(1).normal(size=(300, 3)), FIELDS, np.arange(300, dtype=np.int64) % 3)
    registry.publish(*make_candidate("waves", "temporal_cnn", past, {"steps": STEPS, "hidden": 2, "epochs": 1}))
    registry.point("waves", "live", 1)
    return registry


def models_of(registry, history=4, **use):
    return Models(ModelsSettings.model_validate({"registry": registry.url, "history": history, "use": use}))


def events(n=40, seed=3):
    X = np.random.default_rng(seed).normal([0.0, 5.0, 20.0, 10.0], [1.0, 1.0, 3.0, 2.0], (n, 4))
    X[5, 2], X[6, 0], X[7, AT] = np.nan, np.nan, np.nan
    return X


def serve(models, X, columns=COLUMNS, kind="records", slots=None):
    slots = np.full(len(X), -1) if slots is None else slots
    rings = np.zeros((3, X.shape[1], models.width))
    histories = models.histories(rings, slots, X, columns)
    return dict(zip(models.names, models.serve(kind, X, columns, histories), strict=True))


def detector_of(registry, name, version=1):
    return registry.load(name, version).detector


def opinions_of(n, members=2):
    nothing = np.full(n, np.nan)
    return Opinions(
        [f"m{k}" for k in range(members)],
        np.arange(n * members, dtype=np.float64).reshape(n, members),
        [None] * members,
        [np.zeros((n, 4))],
        np.zeros(n),
        np.zeros((n, 0)),
        np.empty((0, 0)),
        np.empty((n, 0), np.bool_),
        np.empty((n, 4, 0)),
        nothing,
        np.zeros((n, len(EVIDENCE))),
    )


def message(version, role="live", model="forest", share=0.0):
    return ModelVersion(type="model", model=model, role=role, version=version, share=share)


# ---- opinions --------------------------------------------------------------------------------------------------------


def test_a_model_is_given_its_fields_in_its_order_and_says_which_it_missed(registry):
    X, detector, began = events(), detector_of(registry, "forest"), time.perf_counter()
    opinion = serve(models_of(registry, forest={}), X)["forest"]
    given = X[:, AT]
    expected = detector.rate_many(given)
    expected[7] = np.nan  # it has no field of the model
    np.testing.assert_array_equal(opinion.raw_score, expected)
    np.testing.assert_allclose(opinion.missing, np.isnan(given).mean(axis=1))
    assert opinion.missing[[4, 5, 6, 7]].tolist() == pytest.approx([0.0, 1 / 3, 1 / 3, 1.0])
    for i in (0, 5, 39):
        for numbers, of_model in ((opinion.weights, detector.explain_many), (opinion.expected, detector.expected_many)):
            np.testing.assert_array_equal(numbers[i][AT], of_model(given[i : i + 1])[0])
            assert np.isnan(numbers[i][1])  # the model does not look at this field
    assert 0.0 <= opinion.seconds <= time.perf_counter() - began


def test_a_field_that_the_stream_lacks_is_missing_and_has_no_part(registry):
    X, detector = events()[:, [0, 1]], detector_of(registry, "forest")
    opinion = serve(models_of(registry, forest={}), X, ["a", "other"])["forest"]
    given = np.full((len(X), 3), np.nan)
    given[:, 1] = X[:, 0]
    expected = detector.rate_many(given)
    expected[[6, 7]] = np.nan
    np.testing.assert_array_equal(opinion.raw_score, expected)
    assert opinion.missing[0] == pytest.approx(2 / 3)
    assert opinion.weights[0][0] == detector.explain_many(given[:1])[0][1]
    assert np.isnan(opinion.weights[0][1])
    assert serve(models_of(registry, forest={}), X[:, 1:], ["other"])["forest"] is None


def test_all_fields_of_a_model_are_missing_in_a_stream_without_numbers(registry):
    models = models_of(registry, forest={"shadow": "next"})
    X = np.empty((2, 0))
    assert np.isnan(models.given("forest", X, [])).all()
    places, right = models.probe(("forest", f"forest{SHADOW}"), X, [], np.array([0, 1]), 1)
    assert (places.tolist(), [flags.any() for flags in right]) == ([0, 1], [False, False])


def test_a_model_has_no_opinion_on_other_kinds_of_streams_or_without_events(registry):
    models = models_of(registry, forest={"streams": ["series"]}, mixture={})
    told = serve(models, events(), kind="fields")
    assert [name for name, opinion in told.items() if opinion is not None] == ["mixture"]
    assert serve(models, events(), kind="series")["forest"] is not None
    assert serve(models, events()[:0])["mixture"] is None


def test_a_model_of_runs_is_given_the_last_events_of_the_entity_once_there_are_enough(with_waves):
    X, detector = events(30), detector_of(with_waves, "waves")
    slots = np.arange(30) % 3 - 1  # the first of three entities has no slot
    opinion = serve(models_of(with_waves, waves={}, mixture={}), X, slots=slots)["waves"]
    expected, absent = np.full(30, np.nan), np.isnan(X[:, AT])
    for i in range(30):
        past = np.flatnonzero(slots[: i + 1] == slots[i])[-STEPS:]
        if slots[i] >= 0 and len(past) == STEPS and not absent[i].all():
            run = X[past][:, AT][None]
            expected[i] = detector.rate_many(run)[0]
            np.testing.assert_array_equal(opinion.weights[i][AT], detector.explain_many(run)[0])
            np.testing.assert_array_equal(opinion.expected[i][AT], detector.expected_many(run)[0])
    np.testing.assert_array_equal(opinion.raw_score, expected)
    assert np.isfinite(expected).sum() > 12
    known = slots >= 0
    np.testing.assert_allclose(opinion.missing[known], absent.mean(axis=1)[known])
    assert (opinion.missing[~known] == 1.0).all()


def test_a_model_of_runs_has_nothing_of_a_field_that_the_stream_lacks(with_waves):
    X, detector = events(9)[:, [0, 2]], detector_of(with_waves, "waves")
    opinion = serve(models_of(with_waves, waves={}), X, ["c", "b"], slots=np.zeros(9, np.int64))["waves"]
    run = np.full((1, STEPS, 3), np.nan)
    run[0, :, 0], run[0, :, 2] = X[2:5, 1], X[2:5, 0]
    assert opinion.raw_score[4] == detector.rate_many(run)[0]
    assert opinion.missing[4] == pytest.approx(1 / 3)
    alone = serve(models_of(with_waves, waves={}), X[:, 1:], ["b"], slots=np.zeros(9, np.int64))["waves"]
    run[0, :, 2] = np.nan
    assert alone.raw_score[4] == detector.rate_many(run)[0]


def test_no_model_of_runs_means_no_history_of_values_but_events_are_counted_where_histories_are_kept(registry):
    X = events()[:4]
    models = models_of(registry, forest={})
    histories = models.histories(np.zeros((1, 4, models.width)), np.zeros(4, np.int64), X, COLUMNS)
    assert histories.values.shape == (4, 0, 0)
    assert histories.counts.tolist() == [1, 2, 3, 4]
    assert histories.counts.dtype == np.int64  # other numbers would compile the kernel once more
    none = models_of(registry, history=0, forest={})
    assert none.width == 0
    assert none.histories(np.zeros((1, 4, 0)), np.zeros(4, np.int64), X, COLUMNS).counts.tolist() == [0] * 4
    none.remember(np.zeros((1, 4, 0)), np.zeros(4, np.int64), X)
    assert models_of(registry, history=4, forest={}).width == 5


def test_fields_are_found_anew_when_the_stream_or_the_version_has_others(registry):
    models, X = models_of(registry, forest={}), events()
    np.testing.assert_array_equal(models.given("forest", X, COLUMNS), X[:, AT])
    whole = X[:, AT]
    assert models.given("forest", whole, FIELDS) is whole  # all its fields in its order: nothing is copied
    np.testing.assert_array_equal(models.given("forest", X, COLUMNS), X[:, AT])
    np.testing.assert_array_equal(models.given("forest", X[:, [2, 0, 3, 1]], [*FIELDS, "other"]), X[:, AT])
    lacking = models.given("forest", X[:, [0, 2]], ["a", "b"])
    np.testing.assert_array_equal(lacking[:, :2], X[:, [2, 0]])
    assert np.isnan(lacking[:, 2]).all()


# ---- among the opinions of the detectors -----------------------------------------------------------------------------


def test_models_and_their_shadows_stand_after_the_detectors(registry):
    models, X = models_of(registry, forest={"shadow": "next"}, mixture={}), events()
    assert models.names == ["forest", "mixture", "forest shadow", "mixture shadow"]
    opinions, rings = opinions_of(len(X)), np.zeros((10, 4, models.width))
    before, told = opinions.raw_scores.copy(), serve(models, X)
    models.add_opinions(opinions, "records", stretch_of(X), COLUMNS, rings)
    assert opinions.names == ["m0", "m1", *models.names]
    np.testing.assert_array_equal(opinions.raw_scores[:, :2], before)
    for k, name in enumerate(("forest", "mixture", "forest shadow"), 2):
        np.testing.assert_array_equal(opinions.raw_scores[:, k], told[name].raw_score)
    assert np.isnan(opinions.raw_scores[:, 5]).all()  # the mixture has no shadow
    assert opinions.canaries.shape == (40, 0)
    assert list(opinions.seconds) == ["forest", "mixture", "forest shadow"]
    assert [one is not None for one in opinions.contributions] == [False, False, True, True, False, False]
    np.testing.assert_array_equal(opinions.contributions[2][0], told["forest"].weights[0])
    np.testing.assert_array_equal(opinions.expected[2][0], told["mixture"].expected[0])
    assert len(opinions.expected) == 3
    np.testing.assert_array_equal(opinions.missing, np.maximum(told["forest"].missing, told["mixture"].missing))
    assert rings[:, 0, 0].tolist() == [4.0] * 10  # four events of each entity


def test_without_models_nothing_is_added():
    models, opinions = Models(ModelsSettings()), opinions_of(3)
    models.add_opinions(opinions, "records", stretch_of(events()[:3]), COLUMNS, np.zeros((10, 4, 0)))
    assert (opinions.names, len(opinions.contributions)) == (["m0", "m1"], 2)


def test_of_entities_of_a_canary_the_shadow_says_which_field_is_to_blame_and_what_was_expected(registry):
    models, X = models_of(registry, mixture={}, forest={"shadow": "next"}), events()
    models.take(message(2, "shadow", share=0.5))
    told, opinions, stretch = serve(models, X), opinions_of(len(X)), stretch_of(X)
    models.add_opinions(opinions, "records", stretch, COLUMNS, np.zeros((10, 4, models.width)))
    counts = np.array([is_canary(entity, 0.5) for entity in stretch.events.entities])
    assert set(counts.tolist()) == {True, False}
    assert opinions.canaries.tolist() == [[False, flag] for flag in counts.tolist()]
    for i in range(len(X)):
        of = told["forest shadow" if counts[i] else "forest"]
        np.testing.assert_array_equal(opinions.contributions[3][i], of.weights[i])
        np.testing.assert_array_equal(opinions.expected[2][i], of.expected[i])
    np.testing.assert_array_equal(opinions.contributions[2][0], told["mixture"].weights[0])


@pytest.mark.parametrize("silent", ["forest", "forest shadow"])
def test_a_shadow_counts_only_where_it_and_the_live_model_have_an_opinion(registry, silent):
    models, X = models_of(registry, forest={"shadow": "next"}, mixture={"shadow": "live"}), events()
    for name in ("forest", "mixture"):
        models.take(message(models.at_work[f"{name}{SHADOW}"].manifest.version, "shadow", name, 1.0))
    if silent == "forest":
        models.take(message(None))
    else:  # the stream has no field of this version
        models.take(message(3, "shadow", share=1.0))
    opinions, told = opinions_of(len(X)), serve(models, X)
    models.add_opinions(opinions, "records", stretch_of(X), COLUMNS, np.zeros((10, 4, models.width)))
    assert told[silent] is None
    assert opinions.canaries.all(axis=0).tolist() == opinions.canaries.any(axis=0).tolist() == [False, True]
    assert (opinions.contributions[2] is None) == (silent == "forest")
    lacking = [told[name].missing for name in ("forest", "mixture shadow") if told[name] is not None]
    np.testing.assert_array_equal(opinions.missing, np.max(lacking, axis=0))


def test_numbers_of_the_other_are_taken_where_a_flag_is_set():
    one, other = np.array([[1.0], [2.0]]), np.array([[10.0], [20.0]])
    mixed = either(one, other, np.array([False, True]))
    assert (mixed[0][0], mixed[1][0]) == (1.0, 20.0)
    assert either(one, other, np.array([False, False])) is one


# ---- versions and shares ---------------------------------------------------------------------------------------------


def test_members_have_the_weights_of_the_settings_and_shadows_have_none(registry):
    models = models_of(registry, forest={"weight": 2.5, "shadow": "2"}, mixture={})
    assert models.weights.tolist() == [2.5, 1.0, 0.0, 0.0]
    assert models.versions == {"forest": "1", "forest shadow": "2", "mixture": "1"}
    assert models.use_of("forest shadow").weight == 2.5
    assert models.seen == {}  # no keys are trusted, so serial numbers mean nothing


def test_a_version_is_loaded_once_and_unloaded_with_its_share(registry, caplog):
    caplog.set_level("INFO")
    models = models_of(registry, forest={})
    assert caplog.messages == ["model forest: version 1 at work"]
    loaded = models.at_work["forest"]
    models.take(message(1))
    assert models.at_work["forest"] is loaded
    models.take(message(2, "shadow", share=0.25))
    assert (models.versions, models.shares) == ({"forest": "1", "forest shadow": "2"}, {"forest": 0.25})
    models.take(message(None, "shadow", share=0.25))
    assert (models.versions, models.shares) == ({"forest": "1"}, {"forest": 0.0})
    models.take(message(None))
    models.take(message(None))
    assert models.versions == {}


def test_the_share_of_a_model_is_its_own_and_counts_only_while_it_has_a_shadow(registry):
    entities = [f"e{k}" for k in range(200)]
    models = models_of(registry, mixture={"shadow": "live"}, forest={"shadow": "next"})
    assert models.canaries(entities).shape == (200, 0)
    models.take(message(2, "shadow", share=0.3))
    canaries = models.canaries(entities)
    assert canaries[:, 1].tolist() == [is_canary(entity, 0.3) for entity in entities]
    assert not canaries[:, 0].any()
    assert canaries.any()
    del models.at_work["forest shadow"]
    assert not models.canaries(entities).any()


def test_a_share_is_refused_together_with_its_version(registry):
    models = models_of(registry, forest={"shadow": "next"})
    with pytest.raises(ModelError):
        models.take(message(9, "shadow", share=0.5))
    assert models.shares.get("forest", 0.0) == 0.0


def test_a_model_of_runs_needs_as_long_a_history(with_waves):
    assert models_of(with_waves, history=STEPS, waves={}).versions == {"waves": "1"}
    with pytest.raises(SettingsError, match=r"looks at 3 events of an entity, 2 are kept: set it to 3 or more"):
        models_of(with_waves, history=STEPS - 1, waves={})
    assert models_of(with_waves, history=0, forest={}).versions == {"forest": "1"}


def test_a_version_that_cannot_score_is_refused_and_the_one_before_stays(registry):
    X = np.random.default_rng(0).normal(size=(300, 3))
    fits, too_wide = distance(np.zeros(3), np.ones(3)), distance(np.zeros(5), np.ones(5))
    past = Past(X, FIELDS, np.zeros(300, np.int64))
    manifest, variants = candidate_of("theirs", ImportedNetwork().with_network(fits), past, 10**6)
    registry.publish(manifest, variants)
    files, figures = variants["full"]
    [network] = [name for name in files if name.endswith(".onnx")]
    registry.publish(manifest, {"full": (files | {network: too_wide}, figures)})
    registry.point("theirs", "live", 1)
    models = models_of(registry, theirs={})
    with pytest.raises(ModelError, match=r"theirs version 2 cannot score: \w+: "):
        models.take(message(2, model="theirs"))
    assert models.versions == {"theirs": "1"}


# ---- probes ----------------------------------------------------------------------------------------------------------


def test_a_probe_is_an_event_with_one_field_four_deviations_away_and_right_where_it_is_stranger(registry):
    models, X = models_of(registry, forest={}, mixture={}), events(60)
    offsets, every = np.arange(100, 160), 4
    places, right = models.probe(("forest", "mixture"), X, COLUMNS, offsets, every)
    assert places.tolist() == list(range(0, 60, 4))
    manifest, expected = registry.manifest("forest", 1), {"forest": [], "mixture": []}
    for place in places.tolist():
        turn = int(offsets[place]) // every
        f, side = turn % 3, 1.0 if turn // 3 % 2 else -1.0
        probe = X[place].copy()
        probe[AT[f]] += side * FAR * manifest.scale[f]
        for name, columns in (("forest", AT), ("mixture", AT[:2])):
            rate = detector_of(registry, name).rate_many
            before, after = rate(np.stack((X[place][columns], probe[columns])))
            expected[name].append(bool(after > before))
    assert [flags.tolist() for flags in right] == [expected["forest"], expected["mixture"]]
    assert {*expected["forest"], *expected["mixture"]} == {True, False}


def test_a_probe_of_a_field_that_the_stream_lacks_is_the_event_itself(registry):
    models, X = models_of(registry, forest={}), events(12)[:, :1]
    before = X.copy()
    places, [right] = models.probe(("forest",), X, ["a"], np.arange(12), 1)
    np.testing.assert_array_equal(X, before)
    changed = np.arange(12) % 3 == 1  # the turn of "a"
    assert places.tolist() == list(range(12))
    assert not right[~changed].any()
    assert right[changed].any()


def test_there_are_no_probes_of_models_of_runs_or_between_their_turns(with_waves):
    models, X = models_of(with_waves, waves={}, forest={}), events(12)
    for members, offsets in ((("forest", "waves"), np.arange(12)), (("forest",), np.full(12, 7))):
        places, right = models.probe(members, X, COLUMNS, offsets, 4)
        assert (len(places), [len(flags) for flags in right]) == (0, [0] * len(members))
