"""Networks in ONNX Runtime. Importing it takes a tenth of a second, so this module is loaded when a network first scores.

A network comes from the registry, so it is not trusted: it may hold a few kinds of operators only, none of which repeats others. The
memory of all networks of a process together has a limit, and so has the time of a network's first run.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np
import onnxruntime
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from streamgauge.models.contract import MOST_BYTES, Floats
from streamgauge.models.errors import StateError

MOST_MEMORY = 2 * MOST_BYTES  # bytes of all networks of the process together
MOST_SECONDS = 20.0  # of the first run of a network; a usual one takes milliseconds
GRAPH, FUNCTIONS = 7, 25  # fields of a model in onnx.proto,
NODE, INITIALIZER = 1, 5  # of a graph,
TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}  # that a network may take
OPERATOR, DOMAIN, PLACE_OF_DATA = 4, 7, 14  # of a node, and of an initializer
_NAMES = """
Add BatchNormalization Cast Clip Concat Constant Conv Div Dropout Elu Erf Exp Expand Flatten Gather Gelu Gemm
Identity LayerNormalization LeakyRelu MatMul Mul Neg Pad Pow ReduceMean Relu Reshape Shape Sigmoid Slice
Softmax Softplus Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze Where
"""
OPERATORS = frozenset(_NAMES.split())


def open_session(network: bytes, name: str, example: Any, operators: frozenset[str] = OPERATORS) -> Any:
    """An ONNX Runtime session on one thread, which has run once.

    Parameters
    ----------
    network : bytes
        ONNX.
    name : str
        Of the detector, for the message.
    example : float32 array
        An input of the shape that the network will get.
    operators : frozenset of str
        Those that it may hold; others than ONNX's own begin with their domain.

    Raises
    ------
    StateError
        The bytes are no network that ONNX Runtime can run, or it takes too much memory or time.
    """
    _check_operators(network, name, operators)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised, too
    options.add_session_config_entry("session.use_env_allocators", "1")
    running = onnxruntime.RunOptions()
    running.log_severity_level = 4
    timer = threading.Timer(MOST_SECONDS, setattr, (running, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        _limit_memory()
        # Constants are not folded: that cannot be stopped, and it may take hours.
        session = onnxruntime.InferenceSession(
            network, options, providers=["CPUExecutionProvider"], disabled_optimizers=["ConstantFolding"]
        )
        [only] = session.get_inputs()
        session.run(None, {only.name: np.zeros_like(example, TYPES.get(only.type))}, running)
    except Exception as error:  # the runtime's own errors have no common base but this
        raise StateError(
            f"the network of {name} cannot be loaded (networks may take {MOST_MEMORY / 1e6:.0f} MB together, and "
            f"{MOST_SECONDS:g} s at their first run): {str(error)[:300]}"
        ) from error
    finally:
        timer.cancel()
    return session


@functools.cache
def _limit_memory() -> None:
    """Make all sessions of the process share memory that has a limit."""
    info = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(info, onnxruntime.OrtArenaCfg({"max_mem": MOST_MEMORY}))


def run_chunks(session: Any, Z: Floats, chunk: int, outputs: list[str] | None = None) -> list[Floats]:
    """Outputs of a network for any number of rows.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    Z : float64[n, ...]
    chunk : int
        Rows that it is always run on at once, so that what a row gives never depends on the size of its batch.
    outputs : list of str, optional
        All by default.

    Returns
    -------
    list of float64[n, ...]

    Raises
    ------
    StateError
        An output has another number of rows than the input.
    """
    [only] = session.get_inputs()
    n = len(Z)
    padded = np.zeros((-(-max(n, 1) // chunk) * chunk, *Z.shape[1:]), TYPES[only.type])
    padded[:n] = Z
    parts = [session.run(outputs, {only.name: padded[k : k + chunk]}) for k in range(0, len(padded), chunk)]
    if wrong := [out.shape for out in parts[0] if out.shape[:1] != (chunk,)]:
        raise StateError(f"the network gives an output of the shape {wrong[0]} for {chunk} events")
    return [np.concatenate(out).astype(np.float64)[:n] for out in zip(*parts, strict=True)]


def _check_operators(network: bytes, name: str, operators: frozenset[str]) -> None:
    """Raise StateError if a network has an operator that is not allowed, functions, or data outside its file."""
    try:
        if _parts(network, FUNCTIONS):
            raise StateError(f"the network of {name} has functions of its own, which are not allowed")
        for graph in _parts(network, GRAPH):
            for node in _parts(graph, NODE):
                kind = b"".join(_parts(node, DOMAIN)[-1:] + _parts(node, OPERATOR)[-1:]).decode(errors="replace")
                if kind not in operators:
                    raise StateError(
                        f"the network of {name} has the operator {kind[:50]!r}; allowed are: {', '.join(sorted(operators))}"
                    )
            if any(place for tensor in _parts(graph, INITIALIZER) for place in _parts(tensor, PLACE_OF_DATA)):
                raise StateError(f"the network of {name} has data outside its file, which is not allowed")
    except (DecodeError, TypeError) as error:
        raise StateError(f"the network of {name} cannot be loaded: it is no ONNX: {error}") from error


def _parts(message: bytes, number: int) -> list[Any]:
    """All values of a field of a protobuf message, by its number."""
    fields = UnknownFieldSet(Empty.FromString(message))
    return [field.data for field in fields if field.field_number == number]
