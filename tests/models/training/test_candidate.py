"""A candidate is trained on the past's first part, calibrated and judged on the last, and says what it left out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from streamgauge.models.catalog import FITTED
from streamgauge.models.errors import InputError, NotReadyError
from streamgauge.models.training.candidate import VALIDATION_SHARE, Past, make_candidate

random = np.random.default_rng(0)


def past(n=600, labels=None, **others):
    X = random.normal(size=(n, 3))
    if labels is not None:
        X[labels > 0] = 12.0
    return Past(X, ["a", "b", "c"], np.arange(n, dtype=np.int64) % 2, labels, **others)


def test_labelled_anomalies_are_judged_by_and_not_learned():
    labels = np.zeros(600)
    labels[50:200] = labels[500:540] = 1.0
    manifest, variants = make_candidate("m", "gaussian_mixture", past(labels=labels, left_out="3 dead"), {"trim": 0.0})
    assert manifest.history.left_out == "3 dead; 150 labelled anomalies"
    assert max(manifest.history.high) < 6.0  # what was usual: values within are never taken for contamination
    assert manifest.figures["roc_auc"] > 0.99
    assert set(variants) == {"full"}
    model = FITTED["gaussian_mixture"].from_files(variants["full"][0])
    assert model.score_one(np.full(3, 12.0)) > model.score_many(random.normal(size=(50, 3))).max()


def test_a_network_says_what_it_costs_and_how_well_it_separates():
    manifest, variants = make_candidate("m", "temporal_cnn", past(), {"steps": 6, "epochs": 3})
    [(files, figures)] = variants.values()
    assert figures["us_per_event"] > 0
    assert 0 <= figures["separates_planted"] <= 1
    assert {"arrays.bin", "network.onnx", "calibrator.bin"} == set(files)
    assert manifest.steps == 6
    assert len(manifest.curve) <= 3
    assert manifest.history.rows == 600


def test_the_last_part_is_validation_data():
    one = past()
    other = Past(one.X.copy(), one.features, one.groups)
    other.X[int((1 - VALIDATION_SHARE) * 600) :] += 100.0
    trained = [
        make_candidate("m", "isolation_forest", p, {"n_trees": 5})[1]["full"][0]["arrays.bin"] for p in (one, other)
    ]
    assert trained[0] == trained[1]


def test_validation_data_that_are_all_labelled_calibrate_nothing():
    labels = np.zeros(600)
    labels[449:] = 1.0
    with pytest.raises(NotReadyError, match="0 events of validation data without a label are too few to calibrate"):
        make_candidate("m", "isolation_forest", past(labels=labels), {"n_trees": 5})


@pytest.mark.parametrize(
    ("detector", "settings", "words"),
    [
        ("isolation_forest", {"n_trees": -1}, "n_trees=-1: n_trees must be a whole number from 1$"),
        ("isolation_forest", {"n_trees": "x"}, "n_trees='x': n_trees must be a whole number from 1$"),
        ("isolation_forest", {"n_trees": 2.0}, "n_trees=2.0: n_trees must be a whole number from 1$"),
        ("isolation_forest", {"part": 2}, "part=2: part must be a whole number from 3$"),
        ("isolation_forest", {"trim": 1.0}, "trim=1.0: trim must be a number from 0 to 0.5$"),
        ("isolation_forest", {"trim": None}, "trim=None: trim must be a number from 0 to 0.5$"),
        ("isolation_forest", {"seed": -1}, "seed=-1: seed must be a whole number from 0 to 4294967295$"),
        ("one_class_svm", {"nu": 0}, "nu=0: nu must be a number above 0 and below 1; leave it out, and it is chosen$"),
        ("one_class_svm", {"gamma": math.inf}, "gamma=inf: gamma must be a number above 0; leave it out"),
        ("local_outlier_factor", {"neighbours": 0}, "neighbours=0: neighbours must be a whole number from 1; leave"),
        ("local_outlier_factor", {"events": 63}, "events=63: events must be a whole number from 64$"),
        ("gaussian_mixture", {"components": True}, "components=True: components must be a whole number from 1; leave"),
        ("gaussian_mixture", {"trim": math.nan}, "trim=nan: trim must be a number from 0 to 0.5$"),
        ("autoencoder", {"epochs": 0}, "epochs=0: epochs must be a whole number from 1$"),
        (
            "autoencoder",
            {"hidden": 0},
            "hidden=0: hidden must be a whole number from 1; leave it out, and it is chosen$",
        ),
        ("variational_autoencoder", {"epochs": -1}, "epochs=-1: epochs must be a whole number from 1$"),
        ("temporal_cnn", {"epochs": 0}, "epochs=0: epochs must be a whole number from 1$"),
        ("temporal_cnn", {"steps": 1}, "steps=1: steps must be a whole number from 2$"),
        ("masked_transformer", {"epochs": 0}, "epochs=0: epochs must be a whole number from 1$"),
    ],
)
def test_settings_that_no_training_can_have_are_named(detector, settings, words):
    with pytest.raises(InputError, match=f"^{detector} cannot be trained with {words}"):
        make_candidate("m", detector, past(), settings)


def test_every_argument_of_every_trained_detector_has_a_range_that_its_default_is_in():
    for kind in FITTED.values():
        usual = kind().settings()
        assert set(kind.ranges) == set(usual)
        kind.check_settings(usual)


def test_the_least_that_a_range_allows_can_be_trained():
    least = {"isolation_forest": {"n_trees": 1, "part": 3}, "local_outlier_factor": {"neighbours": 1, "events": 64}}
    least |= {"one_class_svm": {"nu": 0.999, "gamma": 1e-6}, "autoencoder": {"hidden": 1, "epochs": 1}}
    least |= {"temporal_cnn": {"steps": 2, "epochs": 1}, "gaussian_mixture": {"components": 1, "trim": 0.5}}
    for detector, settings in least.items():
        manifest, _ = make_candidate("m", detector, past(), {"trim": 0.5} | settings)
        assert manifest.settings | settings == manifest.settings


def test_what_cannot_be_trained_is_named():
    with pytest.raises(InputError, match="'z_score' is none that is trained"):
        make_candidate("m", "z_score", past())
    with pytest.raises(
        InputError, match=r"'gan' is none that is trained, which was removed .*: train gaussian_mixture"
    ):
        make_candidate("m", "gan", past())
    with pytest.raises(InputError, match=r"would take .* MB, a model may take 500 MB"):
        make_candidate("m", "autoencoder", past(), {"hidden": 5_000_000})
    with pytest.raises(NotReadyError, match="needs 65 rows to be trained, there are 30"):
        make_candidate("m", "isolation_forest", past(40))
