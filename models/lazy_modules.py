"""The one place that imports a module only when it is needed.

Some libraries are large (torch, scikit-learn, onnxruntime) or optional (torch). What needs one of them lies in a module of its own that
imports it at its top, and is loaded from here: a process that only scores never imports what only training needs.
"""

from __future__ import annotations

import importlib
from typing import Any

from streamgauge.models.errors import InputError

PACKAGE = "streamgauge.models."
TRAINING_ONLY = ("torch", "onnx", "onnxscript")  # of the extra `train`


def load_module(name: str) -> Any:
    """Import a module of ``streamgauge.models``.

    Parameters
    ----------
    name : str
        Its name below the package, such as ``detectors.network.torch_training``.

    Returns
    -------
    module

    Raises
    ------
    InputError
        It needs a library of the extra `train`, which is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(PACKAGE + name)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in TRAINING_ONLY:
            raise
        raise InputError(
            f"training a network needs {library}, which is not installed: pip install -c constraints.txt '.[train]' (scoring does not)"
        ) from error
