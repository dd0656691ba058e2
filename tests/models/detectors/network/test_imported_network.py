"""Networks that were made elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from streamgauge.models.detectors.network.imported_network import ImportedNetwork
from streamgauge.models.errors import InputError, StateError

from tests.onnx_networks import distance, model, projection, tree


def usual(n=400, d=3, seed=0):
    """Fields that lie on a plane, but for some noise."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, d)) * [1.0, 20.0, 300.0][:d] + 7.0
    if d == 3:
        X[:, 2] = 10 * X[:, 1] + random.normal(size=n)
    return X


def imported(network, X=None, **settings):
    return ImportedNetwork(**settings).with_network(network).fit(usual() if X is None else X)


def with_outputs(*names):
    """A network that gives the mean of its fields under each of some names."""
    nodes = [helper.make_node("ReduceMean", ["x"], [name], axes=[1], keepdims=1) for name in names]
    return model(nodes, 3, {name: ["n", 1] for name in names})


def test_a_score_counts_from_its_median_in_units_of_the_way_to_its_99_percent_quantile():
    X = usual()
    detector = imported(distance(np.full(3, 7.0), np.ones(3)))
    scores = np.abs(X - 7.0).max(axis=1)
    middle, far = np.quantile(scores, (0.5, 0.99))
    expected = np.clip((scores - middle) / (far - middle), 0, 20)
    np.testing.assert_allclose(detector.rate_many(X), expected, atol=1e-5)
    assert detector.chosen == {"output": "scores", "reads": "score"}


def test_where_small_scores_are_anomalous_the_sign_is_turned():
    one = imported(distance(np.full(3, 7.0), np.ones(3)))
    other = imported(distance(np.full(3, 7.0), np.ones(3), sign=-1.0), low_is_anomalous=True)
    np.testing.assert_allclose(other.rate_many(usual()), one.rate_many(usual()), atol=1e-6)


def test_an_output_as_wide_as_the_input_is_a_reconstruction_which_explains_itself():
    X = usual()
    basis = np.array([[1.0, 0.0], [0.0, 0.1], [0.0, 1.0]]) / [1.0, np.hypot(0.1, 1.0)]
    detector = imported(projection(basis, X.mean(axis=0)))
    assert detector.chosen == {"output": "variable", "reads": "reconstruction"}
    odd = X[:1].copy()
    odd[0, 1] += 60.0  # within its range, but no longer a tenth of the last field
    assert detector.rate_many(odd)[0] > 3 * detector.rate_many(X).max()
    assert detector.explain_many(odd)[0].argmax() == 1
    np.testing.assert_allclose(detector.expected_many(X[:5]), X[:5], rtol=0.1, atol=3.0)


def test_a_network_from_pytorch_scores_as_it_does_there():
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).eval()
    example = (torch.zeros(4, 3),)
    program = torch.onnx.export(
        layers, example, dynamic_shapes=({0: torch.export.Dim("n")},), dynamo=True, verbose=False
    )
    X = usual()
    detector = imported(program.model_proto.SerializeToString(), X)
    clipped = detector.normalisation.undo(detector.normalisation.apply(X))
    theirs = layers(torch.as_tensor(clipped, dtype=torch.float32)).detach().numpy()[:, 0]
    middle, far = np.quantile(theirs, (0.5, 0.99))
    np.testing.assert_allclose(detector.rate_many(X), np.clip((theirs - middle) / (far - middle), 0, 20), atol=1e-4)


def test_a_tree_and_a_network_that_takes_float64_are_scored():
    X = np.random.default_rng(0).random((300, 2)) ** 2
    above = X[:, 0] > 0.5
    np.testing.assert_array_equal(imported(tree(), X).rate_many(X) > 0, above)
    nodes = [
        helper.make_node("Cast", ["x"], ["less"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["less"], ["variable"], axes=[1], keepdims=1),
    ]
    assert imported(model(nodes, 2, {"variable": ["n", 1]}, kind=TensorProto.DOUBLE), X).rate_many(X).max() > 0


def test_of_several_outputs_the_usual_name_or_the_named_one_is_used():
    assert imported(with_outputs("label", "scores")).chosen["output"] == "scores"
    assert imported(with_outputs("a", "b"), output="b").chosen["output"] == "b"
    with pytest.raises(InputError, match="several outputs, name the one to use: a, b"):
        imported(with_outputs("a", "b"))
    with pytest.raises(InputError, match="no output 'c'; it has: a, b"):
        imported(with_outputs("a", "b"), output="c")


def test_one_column_of_several_is_the_score_if_it_is_named():
    two = model([helper.make_node("Concat", ["x", "x"], ["probabilities"], axis=1)], 2, {"probabilities": ["n", 4]})
    X = usual(d=2)
    assert imported(two, X, column=3).rate_many(X).max() > 0
    with pytest.raises(InputError, match="4 columns: say which one is the score"):
        imported(two, X)
    with pytest.raises(InputError, match="there is no column 4"):
        imported(two, X, column=4)


def test_with_one_field_the_meaning_must_be_said():
    same = model([helper.make_node("Identity", ["x"], ["y"])], 1, {"y": ["n", 1]})
    X = usual(d=1)
    with pytest.raises(InputError, match="a score or a reconstruction"):
        imported(same, X)
    assert imported(same, X, reads="reconstruction").rate_many(X).max() == pytest.approx(0, abs=1e-3)
    assert imported(same, X, reads="score").rate_many(X).max() > 1


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (b"no network", "cannot be loaded|no ONNX"),
        (model([helper.make_node("ReduceMax", ["x"], ["y"], axes=[1])], 3, {"y": [1, 1]}, rows=1), "cannot be loaded"),
        (model([helper.make_node("ReduceMax", ["x"], ["y"], axes=[1])], 5, {"y": ["n", 1]}), "cannot be loaded"),
        (model([helper.make_node("Reshape", ["x", "s"], ["y"])], 3, {"y": ["n"]}, {"s": [-1]}), "cannot be loaded"),
        (model([helper.make_node("NonZero", ["x"], ["y"])], 3, {"y": ["n", "m"]}), "operator 'NonZero'"),
        (model([helper.make_node("ReduceMax", ["x"], ["y"], keepdims=0)], 3, {"y": []}), "output of the shape"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(network, message):
    with pytest.raises(StateError, match=message):
        imported(network)


def test_a_network_that_gives_no_number_for_usual_events_is_refused():
    nodes = [
        helper.make_node("Log", ["x"], ["logs"]),
        helper.make_node("ReduceMax", ["logs"], ["y"], axes=[1], keepdims=1),
    ]
    X = usual()
    X[::4] = -1.0
    with pytest.raises(InputError, match=r"no finite number for 1\d\d of 400 events"):
        imported(model(nodes, 3, {"y": ["n", 1]}), X)


HOSTILE_TREES = {
    "a feature far away": {"nodes_featureids": [50_000_000, 0, 0]},
    "a feature below 0": {"nodes_featureids": [-7_000_000, 0, 0]},
    "a child that is not there": {"nodes_truenodeids": [77, 0, 0]},
    "a child below 0": {"nodes_truenodeids": [-5, 0, 0]},
    "a circle": {"nodes_truenodeids": [0, 0, 0]},
    "a target far away": {"target_ids": [0, 9_000_000]},
    "a target below 0": {"target_ids": [0, -9_000_000]},
    "a leaf that is not there": {"target_nodeids": [1, 99]},
    "too few values": {"nodes_values": [0.5]},
    "too few children": {"nodes_truenodeids": [1]},
    "too few weights": {"target_weights": [0.0]},
    "too many targets": {"n_targets": 2**40},
    "a node twice": {"nodes_nodeids": [0, 1, 1]},
}


@pytest.mark.parametrize("changes", HOSTILE_TREES.values(), ids=HOSTILE_TREES)
def test_a_tree_that_leaves_its_arrays_or_goes_in_circles_is_refused(changes):
    with pytest.raises(StateError, match="cannot be loaded"):
        imported(tree(**changes), np.random.default_rng(0).random((300, 2)))


def test_training_it_is_refused_with_what_to_do():
    with pytest.raises(InputError, match="streamgauge models import"):
        ImportedNetwork().fit(usual())
