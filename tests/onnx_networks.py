"""Small networks in ONNX, made by hand, as converters of other libraries write them."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from streamgauge.models.contract import Floats

FLOAT = TensorProto.FLOAT


def model(
    nodes: list[Any], width: int, outputs: dict[str, list[Any]], constants: dict[str, Floats] | None = None, **more: Any
) -> bytes:
    """A model with one input `x` of so many fields.

    Parameters
    ----------
    nodes : list of NodeProto
    width : int
    outputs : dict
        Shape by name.
    constants : dict, optional
        Values by name.
    more : dict
        `rows`: number of rows it takes, any by default; `kind`: type of the input.
    """
    taken = helper.make_tensor_value_info("x", more.get("kind", FLOAT), [more.get("rows", "n"), width])
    given = [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()]
    fixed = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "made elsewhere", [taken], given, fixed)
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=versions, ir_version=8).SerializeToString()


def distance(centre: Floats, scale: Floats, output: str = "scores", sign: float = 1.0) -> bytes:
    """The largest distance of a field from its centre, in scales, times `sign`."""
    nodes = [
        helper.make_node("Sub", ["x", "centre"], ["away"]),
        helper.make_node("Div", ["away", "scale"], ["scaled"]),
        helper.make_node("Abs", ["scaled"], ["sizes"]),
        helper.make_node("ReduceMax", ["sizes"], ["largest"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["largest", "sign"], [output]),
    ]
    constants = {"centre": centre, "scale": scale, "sign": np.array([sign])}
    return model(nodes, len(centre), {output: ["n", 1]}, constants)


def projection(basis: Floats, centre: Floats) -> bytes:
    """Events as the nearest point of a plane through `centre`; `basis`, float64[d, k], is orthonormal."""
    nodes = [
        helper.make_node("Sub", ["x", "centre"], ["away"]),
        helper.make_node("MatMul", ["away", "basis"], ["code"]),
        helper.make_node("MatMul", ["code", "back"], ["near"]),
        helper.make_node("Add", ["near", "centre"], ["variable"]),
    ]
    constants = {"centre": centre, "basis": basis, "back": basis.T}
    return model(nodes, len(centre), {"variable": ["n", len(centre)]}, constants)


def tree(**changes: Any) -> bytes:
    """One tree over two fields, as XGBoost and scikit-learn are converted: 1 where the first field is above a half, else 0."""
    parts = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [0.0, 1.0],
        "n_targets": 1,
    } | changes
    return model(
        [helper.make_node("TreeEnsembleRegressor", ["x"], ["variable"], domain="ai.onnx.ml", **parts)],
        2,
        {"variable": ["n", 1]},
    )
