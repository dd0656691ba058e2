"""Networks in ONNX Runtime. Importing it takes a tenth of a second, so this module is loaded when a network first scores."""

from __future__ import annotations

from typing import Any

import onnxruntime
from streamgauge.models.errors import StateError


def open_session(network: bytes, name: str) -> Any:
    """An ONNX Runtime session on one thread.

    Parameters
    ----------
    network : bytes
        ONNX.
    name : str
        Of the detector, for the message.

    Raises
    ------
    StateError
        The bytes are no network that ONNX Runtime can run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own errors have no common base but this
        raise StateError(f"the network of {name} cannot be loaded: {str(error)[:300]}") from error
