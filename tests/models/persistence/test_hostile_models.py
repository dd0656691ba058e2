"""Model files that somebody made to do harm: each is refused when it is loaded, before a kernel or ONNX Runtime works with it."""

from __future__ import annotations

import json
import resource
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from streamgauge.models.calibration.calibration import TailCalibrator
from streamgauge.models.catalog import FITTED
from streamgauge.models.detectors.network import onnx_session
from streamgauge.models.errors import ModelError, StateError
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past, make_candidate
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.pipeline import ModelsSettings

from tests.models.persistence.test_codec import sealed

WIDTH = 3
PAST = Past(
    np.random.default_rng(0).normal(size=(400, WIDTH)),
    ["a", "b", "c"],
    np.zeros(400, np.int64),
    source="t",
    licence="x",
)
BRIEF: dict[str, dict[str, Any]] = {
    "isolation_forest": {"n_trees": 3},
    "local_outlier_factor": {"neighbours": 5, "events": 100},
    "one_class_svm": {"nu": 0.1, "gamma": 0.1},
    "gaussian_mixture": {"components": 2},
    "autoencoder": {"epochs": 1},
}
MADE = {name: make_candidate("pumps", name, PAST, settings) for name, settings in BRIEF.items()}
HUGE = 600_000_000  # float32 numbers


def changed(name: str, array: str, change: Any) -> dict[str, bytes]:
    """Files of a usual model, one array of which was changed."""
    files = dict(MADE[name][1]["full"][0])
    meta, arrays = unpack(files["arrays.bin"], name, 1)
    arrays[array] = change(arrays[array])
    return files | {"arrays.bin": pack(name, 1, meta, arrays)}


def at(place: Any, value: float) -> Any:
    """A change that puts a value into a place of an array."""

    def change(array: Any) -> Any:
        array[place] = value
        return array

    return change


HOSTILE = [
    ("isolation_forest", "feature", at(0, 50_000_000)),
    ("isolation_forest", "feature", at(0, -7)),
    ("isolation_forest", "left", at(0, 50_000_000)),
    ("isolation_forest", "right", at(0, -3)),
    ("isolation_forest", "left", at(0, 0)),  # a circle of one node
    ("isolation_forest", "right", at(1, 0)),  # a circle of two
    ("isolation_forest", "roots", at(0, 50_000_000)),
    ("isolation_forest", "roots", at(0, -1)),
    ("isolation_forest", "size", at(0, 0.0)),
    ("isolation_forest", "depth", lambda a: a[:2]),
    ("isolation_forest", "cut", lambda a: a.astype(np.int64)),
    ("isolation_forest", "usual", lambda a: a[:0]),
    ("local_outlier_factor", "neighbours", at(0, 1_000_000_000)),
    ("local_outlier_factor", "neighbours", at(0, 0)),
    ("local_outlier_factor", "reach", lambda a: a[:1]),
    ("local_outlier_factor", "events", lambda a: a[:, :1].copy()),
    ("local_outlier_factor", "events", at((0, 0), np.nan)),
    ("one_class_svm", "log_weights", lambda a: a[:1]),
    ("one_class_svm", "vectors", lambda a: a[:0]),
    ("one_class_svm", "numbers", lambda a: a[:1]),
    ("gaussian_mixture", "precision", lambda a: a[:1]),
    ("gaussian_mixture", "means", lambda a: a[:, :1].copy()),
    ("gaussian_mixture", "log_weights", lambda a: a[:1]),
    ("autoencoder", "usual", lambda a: a[:0]),
    ("autoencoder", "scale", lambda a: a[:1]),
    ("gaussian_mixture", "centre", lambda a: a.reshape(1, -1)),
]


@pytest.mark.parametrize(
    ("name", "array", "change"), HOSTILE, ids=[f"{n} {a} {k}" for k, (n, a, _) in enumerate(HOSTILE)]
)
def test_arrays_that_a_kernel_would_leave_are_refused(name, array, change):
    with pytest.raises(StateError):
        FITTED[name].from_files(changed(name, array, change))


def test_a_tree_of_too_many_levels_is_refused():
    n = 2_001  # a chain: its explanation would take memory with the square of its levels
    inner, nodes = np.arange(n) % 2 == 0, np.arange(n)
    inner[-1] = False
    left, right = np.where(inner, nodes + 1, -1), np.where(inner, nodes + 2, -1)
    files = dict(MADE["isolation_forest"][1]["full"][0])
    meta, arrays = unpack(files["arrays.bin"], "isolation_forest", 1)
    arrays |= {"left": left.astype(np.int32), "right": right.astype(np.int32), "feature": np.zeros(n, np.int32)}
    arrays |= {"roots": np.zeros(1, np.int32), "cut": np.zeros(n), "size": np.ones(n), "depth": np.zeros(n)}
    files["arrays.bin"] = pack("isolation_forest", 1, meta, arrays)
    with pytest.raises(StateError, match="more than 64 levels"):
        FITTED["isolation_forest"].from_files(files)


@pytest.mark.parametrize("missing", ["roots", "left", "size"])
def test_a_missing_array_is_refused(missing):
    files = dict(MADE["isolation_forest"][1]["full"][0])
    meta, arrays = unpack(files["arrays.bin"], "isolation_forest", 1)
    del arrays[missing]
    with pytest.raises(StateError, match=f"'{missing}' is missing"):
        FITTED["isolation_forest"].from_files({"arrays.bin": pack("isolation_forest", 1, meta, arrays)})


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"n_trees": "many", "clairvoyant": 1}},
        {"settings": [1]},
        {"networks": 5},
        {"curve": None, "settings": None},
    ],
)
def test_settings_that_do_not_fit_are_refused(changes):
    files = dict(MADE["isolation_forest"][1]["full"][0])
    meta, arrays = unpack(files["arrays.bin"], "isolation_forest", 1)
    with pytest.raises(StateError):
        FITTED["isolation_forest"].from_files({"arrays.bin": pack("isolation_forest", 1, meta | changes, arrays)})


@pytest.mark.parametrize("shape", [[-5, 2], [1 << 62, 4], [3.5], ["x"], [10**9]])
def test_a_described_array_that_the_bytes_do_not_hold_is_refused(shape):
    header = msgspec.msgpack.encode(["k", 1, {}, [("a", "<f8", shape)]])
    with pytest.raises(StateError, match=r"is damaged: (?!its checksum)"):
        unpack(sealed(len(header).to_bytes(4, "little") + header), "k", 1)


@pytest.mark.parametrize(
    "change",
    [{"memory": "x"}, {"memory": 0}, {"rare": 0.0}, {"more": 1}, {"least": float("nan")}],
)
def test_a_calibrator_that_does_not_fit_is_refused(change):
    meta, arrays = unpack(TailCalibrator().to_state(), TailCalibrator.name, TailCalibrator.state_version)
    with pytest.raises(StateError):
        TailCalibrator.from_state(pack(TailCalibrator.name, TailCalibrator.state_version, meta | change, arrays))
    for name in arrays:
        short = arrays | {name: arrays[name][:2]}
        with pytest.raises(StateError):
            TailCalibrator.from_state(pack(TailCalibrator.name, TailCalibrator.state_version, meta, short))


# ---- networks ---------------------------------------------------------------------------------------------------------


def network(nodes: list[Any], *numbers: Any) -> bytes:
    """ONNX with an input x and an output y."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], list(numbers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def numbers(name: str, values: list[int]) -> Any:
    """int64 numbers that a network holds."""
    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)


def expanding() -> bytes:
    """A network that makes 2.4 GB of its input."""
    return network(
        [
            helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0),
            helper.make_node("Expand", ["m", "size"], ["b"]),
            helper.make_node("ReduceMean", ["b"], ["r"], keepdims=0),
            helper.make_node("Add", ["x", "r"], ["y"]),
        ],
        numbers("size", [HUGE]),
    )


def outer_product() -> bytes:
    """A network whose product of two of its columns has 1.6 billion numbers."""
    column = helper.make_tensor("c", TensorProto.FLOAT, [40_000, 1], np.ones(40_000))
    return network(
        [
            helper.make_node("Transpose", ["c"], ["row"]),
            helper.make_node("MatMul", ["c", "row"], ["b"]),
            helper.make_node("ReduceMean", ["b"], ["r"], keepdims=0),
            helper.make_node("Add", ["x", "r"], ["y"]),
        ],
        column,
    )


def constant() -> bytes:
    """178 bytes that take 2.4 GB."""
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["b"]),
        helper.make_node("ReduceSum", ["b"], ["r"], keepdims=0),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    return network(nodes, numbers("size", [HUGE]))


def endless() -> bytes:
    """A network with a loop of 2^62 turns."""
    values = {name: helper.make_tensor_value_info(name, kind, []) for name, kind in (("i", 7), ("c", 9), ("c2", 9))}
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"])], "body", [values["i"], values["c"]], [values["c2"]]
    )
    turns = helper.make_tensor("turns", TensorProto.INT64, [], [1 << 62])
    return network(
        [helper.make_node("Loop", ["turns", ""], [], body=body), helper.make_node("Identity", ["x"], ["y"])], turns
    )


def with_function() -> bytes:
    """A network that hides an operator in a function."""
    model = onnx.load_from_string(network([helper.make_node("Identity", ["x"], ["y"])]))
    inner = [helper.make_node("ConstantOfShape", ["a"], ["b"])]
    model.functions.append(helper.make_function("own", "f", ["a"], ["b"], inner, [helper.make_opsetid("", 18)]))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (constant, "operator 'ConstantOfShape'; allowed are: Add"),
        (endless, "operator 'Loop'"),
        (with_function, "functions of its own"),
        (expanding, "may take 1000 MB together"),
        (outer_product, "may take 1000 MB together"),
        (lambda: b"\x3a\xff\xff", "no ONNX"),
        (lambda: b"", "cannot be loaded"),
    ],
)
def test_a_network_that_takes_all_memory_or_time_is_refused_and_takes_none(make, words):
    made = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StateError, match=words):
        onnx_session.open_session(made, "autoencoder", np.zeros((64, WIDTH), np.float32))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kilobytes


def test_a_network_whose_first_run_takes_too_long_is_stopped(monkeypatch):
    monkeypatch.setattr(onnx_session, "MOST_SECONDS", 0.05)
    square = helper.make_tensor("s", TensorProto.FLOAT, [1000, 1000], np.zeros(1_000_000))
    names = ["s", *(f"s{k}" for k in range(400))]
    chain = [helper.make_node("MatMul", [a, "s"], [b]) for a, b in pairwise(names)]
    chain += [
        helper.make_node("ReduceMean", [names[-1]], ["r"], keepdims=0),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    with pytest.raises(StateError, match=r"0\.05 s at their first run"):
        onnx_session.open_session(network(chain, square), "autoencoder", np.zeros((64, WIDTH), np.float32))


# ---- the registry -----------------------------------------------------------------------------------------------------


@pytest.fixture
def registry(tmp_path):
    return Registry(str(tmp_path / "models"))


def publish(registry: Registry, files: dict[str, bytes], detector: str = "autoencoder") -> int:
    """Publish files under the manifest of a usual model."""
    version = registry.publish(MADE[detector][0], {"full": (files, {})}).version
    registry.point("pumps", "live", version)
    return version


def test_a_job_refuses_a_network_of_another_shape_and_stays_as_it_was(registry):
    other = network([helper.make_node("Identity", ["x"], ["y"])])
    files = dict(MADE["autoencoder"][1]["full"][0])
    publish(registry, files)
    models = Models(ModelsSettings.model_validate({"registry": registry.url, "use": {"pumps": {}}}))
    usual = models.versions
    for wrong in (
        files | {"network.onnx": expanding()},
        changed("autoencoder", "usual", lambda a: np.ones(50)) | {"network.onnx": other},
    ):
        version = publish(registry, wrong)
        with pytest.raises(ModelError):
            models._put("pumps", "pumps", version)
        assert models.versions == usual


def test_a_file_larger_than_its_manifest_says_is_refused_before_it_is_read(registry, tmp_path, monkeypatch):
    version = publish(registry, dict(MADE["autoencoder"][1]["full"][0]))
    manifest = registry.manifest("pumps", version)
    digest = manifest.variants["full"].files["arrays.bin"]
    with open(tmp_path / "models" / "pumps" / "files" / digest, "ab") as file:
        file.truncate(1_500_000_000)
    monkeypatch.setattr(
        registry.files.fs, "cat_file", lambda path: pytest.fail("read") if digest in path else _bytes(path)
    )
    with pytest.raises(ModelError, match="has 1500000000 bytes, it may have"):
        registry.load("pumps", version)


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


@pytest.mark.parametrize("place", ["versions/000001.json", "aliases/live.json", "waiting.json"])
def test_a_huge_file_of_text_is_refused(registry, tmp_path, place):
    publish(registry, dict(MADE["autoencoder"][1]["full"][0]))
    with open(tmp_path / "models" / "pumps" / place, "ab") as file:
        file.truncate(1_500_000_000)
    with pytest.raises(ModelError, match="has 1500000000 bytes, it may have"):
        [registry.resolve("pumps", "live"), registry.waiting("pumps"), registry.manifest("pumps", 1)]


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"n_trees": "x"}},
        {"settings": {"unknown": 1}},
        {"centre": [0.0]},
        {"scale": []},
        {"distribution": {"edges": [[0.0]] * 3, "shares": [[1.0]] * 3}},
        {"distribution": {"edges": [[0.0], [], [0.0]], "shares": [[0.5, 0.5]] * 3}},
        {"distribution": {"edges": [[0.0]], "shares": [[0.5, 0.5]]}},
        {"distribution_of_scores": {"edges": [], "shares": []}},
    ],
)
def test_a_manifest_whose_parts_do_not_fit_is_refused(registry, tmp_path, changes):
    publish(registry, dict(MADE["isolation_forest"][1]["full"][0]), "isolation_forest")
    path = tmp_path / "models" / "pumps" / "versions" / "000001.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ModelError):
        registry.load("pumps", 1)


@pytest.mark.parametrize("text", ["[", "5", "[1]", '[{"version": "x"}]', "{}", "[" * 100_000])
@pytest.mark.parametrize("place", ["versions/000001.json", "aliases/live.json", "waiting.json"])
def test_garbage_in_a_file_of_text_is_an_error_that_names_the_model(registry, tmp_path, place, text):
    publish(registry, dict(MADE["isolation_forest"][1]["full"][0]), "isolation_forest")
    registry.keep_waiting("pumps", {"a": 1})
    (tmp_path / "models" / "pumps" / place).write_text(text)
    read = {"v": lambda: registry.manifest("pumps", 1), "a": lambda: registry.aliases("pumps")}
    if place == "waiting.json" and text == "{}":
        assert registry.waiting("pumps") == {}
        return
    with pytest.raises(ModelError, match="pumps"):
        read.get(place[0], lambda: registry.waiting("pumps"))()


@pytest.mark.parametrize(
    "which", ["../secret", "../../secret", "/etc/passwd", "a/../../../secret", "..", "", "live.json", "a\0b", "²"]
)
def test_a_name_cannot_leave_the_folder_of_the_registry(registry, tmp_path, which):
    publish(registry, dict(MADE["isolation_forest"][1]["full"][0]), "isolation_forest")
    entry = json.dumps([{"version": 1, "at": "", "by": "", "why": ""}])
    for place in (tmp_path, tmp_path / "models", tmp_path / "models" / "pumps"):
        (place / "secret.json").write_text(entry)
    with pytest.raises(ModelError, match="cannot be"):
        registry.resolve("pumps", which)
    with pytest.raises(ModelError):
        registry.resolve(which, 1)
    with pytest.raises(ModelError, match="cannot be"):
        registry.history("pumps", which)
