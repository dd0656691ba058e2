"""Fitted detectors equal the libraries that trained them."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.detectors.fitted.fitted_detector import windows
from streamgauge.models.detectors.fitted.gaussian_mixture import RIDGE, GaussianMixture
from streamgauge.models.detectors.fitted.isolation_forest import IsolationForest
from streamgauge.models.detectors.fitted.local_outlier_factor import LocalOutlierFactor
from streamgauge.models.detectors.fitted.one_class_svm import OneClassSvm
from streamgauge.models.detectors.network.autoencoder import Autoencoder
from streamgauge.models.detectors.network.network_detector import CHUNK
from streamgauge.models.detectors.network.onnx_session import open_session
from streamgauge.models.detectors.network.variational_autoencoder import VariationalAutoencoder
from streamgauge.models.detectors.sequence.masked_transformer import MaskedTransformer
from streamgauge.models.detectors.sequence.temporal_cnn import TemporalCnn

from tests.checks.fitted import waves

random = np.random.default_rng(4)
USUAL = random.normal(size=(1500, 4)) @ random.normal(size=(4, 4))
EVENTS = random.normal(size=(200, 4)) * 3


def test_isolation_forest_equals_scikit_learn():
    from sklearn.ensemble import IsolationForest as Reference

    ours = IsolationForest(trim=0.0, seed=3).fit(USUAL)
    theirs = Reference(n_estimators=100, max_samples=256, random_state=3).fit(ours.normalisation.apply(USUAL))
    expected = -theirs.score_samples(ours.normalisation.apply(EVENTS))
    np.testing.assert_allclose(ours.score_many(EVENTS), expected, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:The set_:PendingDeprecationWarning")  # matplotlib's, when shap is imported
def test_isolation_forest_is_explained_by_shapley_values_as_the_shap_package_has_them():
    import shap
    from sklearn.ensemble import IsolationForest as Reference
    from streamgauge.models.evaluation.tree_shap import tree_shap

    ours = IsolationForest(trim=0.0, seed=3).fit(USUAL)
    Z, a = ours.normalisation.apply(EVENTS[:50]), ours.arrays
    theirs = Reference(n_estimators=100, max_samples=256, random_state=3).fit(ours.normalisation.apply(USUAL))
    expected = shap.TreeExplainer(theirs).shap_values(Z)
    names = ("roots", "feature", "cut", "left", "right", "size", "depth")
    np.testing.assert_allclose(tree_shap(Z, *(a[name] for name in names)), expected, atol=1e-10)


def test_one_class_svm_equals_scikit_learn():
    from sklearn.svm import OneClassSVM

    ours = OneClassSvm(nu=0.1, gamma=0.3, trim=0.0).fit(USUAL)
    theirs = OneClassSVM(nu=0.1, gamma=0.3).fit(ours.normalisation.apply(USUAL))
    near = USUAL[:200] * 1.5
    sums = theirs.score_samples(ours.normalisation.apply(near))
    np.testing.assert_allclose(ours.rate_many(near), np.log1p(theirs.offset_[0] / sums), rtol=1e-7)
    on_boundary = np.log(2.0)
    inside = theirs.decision_function(ours.normalisation.apply(near)) > 0
    np.testing.assert_array_equal(ours.rate_many(near) < on_boundary, inside)


def test_local_outlier_factor_equals_scikit_learn():
    from sklearn.neighbors import LocalOutlierFactor as Reference

    ours = LocalOutlierFactor(neighbours=20, events=1500, trim=0.0).fit(USUAL)
    theirs = Reference(20, novelty=True).fit(ours.normalisation.apply(USUAL))
    expected = np.maximum(-theirs.score_samples(ours.normalisation.apply(EVENTS)) - 1.0, 0.0)
    np.testing.assert_allclose(ours.rate_many(EVENTS), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("width", [4, 70])  # above 64 fields the covariances are diagonal
def test_gaussian_mixture_equals_scikit_learn(width):
    from sklearn.mixture import GaussianMixture as Reference

    usual = np.random.default_rng(0).normal(size=(800, width))
    ours = GaussianMixture(components=3, trim=0.0, seed=1).fit(usual)
    Z = ours.normalisation.apply(usual)
    kind = "full" if width == 4 else "diag"
    theirs = Reference(3, covariance_type=kind, reg_covar=RIDGE, random_state=1).fit(Z)
    below = -theirs.score_samples(Z)
    np.testing.assert_allclose(ours.rate_many(usual), below - below.min(), rtol=1e-9, atol=1e-9)


NETWORKS = [
    Autoencoder(hidden=3, epochs=3),
    VariationalAutoencoder(hidden=3, epochs=3),
    TemporalCnn(steps=8, epochs=3),
    TemporalCnn(steps=3, epochs=3),
    MaskedTransformer(steps=8, epochs=3),
]


@pytest.mark.parametrize("detector", NETWORKS, ids=lambda d: f"{d.name} {d.steps}")
def test_onnx_runtime_gives_what_torch_gives(detector):
    import torch
    from streamgauge.models.detectors.network import torch_training as training

    X = waves(300, 4)
    Z = windows(X, None, detector.steps, 300) if detector.sequence else X
    with training.seeded(1):
        module = detector.new_module(4).eval()
    inputs = torch.as_tensor(Z[:100], dtype=torch.float32)
    network = open_session(training.exported(module, Z[:3], CHUNK), detector.name, inputs.numpy())
    with torch.no_grad():
        expected = module(inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for mine, theirs in zip(network.run(None, {"x": inputs.numpy()}), expected, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), atol=1e-5)


@pytest.mark.parametrize("detector", NETWORKS, ids=lambda d: f"{d.name} {d.steps}")
def test_a_network_has_as_many_numbers_as_predicted(detector):
    module = detector.new_module(5)
    count = sum(p.numel() for p in module.parameters())
    assert count == detector.parameters(5, detector.size(5), detector.steps)
