"""A candidate is trained on the past's first part, calibrated and judged on the last, and says what it left out."""

from __future__ import annotations

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
        ("isolation_forest", {"n_trees": -1}, r"cannot be trained with n_trees=-1: .* range \[1, inf\)"),
        ("isolation_forest", {"n_trees": "x"}, "takes n_trees, part, trim, seed, and not n_trees='x'"),
        ("one_class_svm", {"nu": 5}, r"cannot be trained with nu=5: .* range \(0\.0, 1\.0\]"),
        ("local_outlier_factor", {"neighbours": -1}, "cannot be trained with neighbours=-1: negative"),
        ("autoencoder", {"hidden": -1}, "cannot be trained with hidden=-1: .* negative"),
    ],
)
def test_settings_that_no_training_can_have_are_named(detector, settings, words):
    with pytest.raises(InputError, match=f"^{detector} {words}"):
        make_candidate("m", detector, past(), settings)


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
