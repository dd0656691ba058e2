"""Large and optional libraries are imported when they are needed, and one that is missing is named."""

from __future__ import annotations

import subprocess
import sys

import pytest
from streamgauge.models.errors import InputError
from streamgauge.models.lazy_modules import PACKAGE, load_module


def test_a_missing_library_of_training_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, PACKAGE + "detectors.network.torch_networks", raising=False)
    with pytest.raises(InputError, match=r"needs torch, which is not installed: pip install .*\[train\]"):
        load_module("detectors.network.torch_networks")


def test_a_module_that_does_not_exist_is_a_fault_of_the_program():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        load_module("detectors.no_such_module")


def test_the_catalogue_and_the_registry_import_nothing_that_only_training_needs():
    code = (
        "import sys, streamgauge.models.catalog, streamgauge.models.persistence.registry; "
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'cryptography'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
