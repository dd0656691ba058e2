"""A program can talk to a running job (settings, control messages, feedback, alerts) without Flink and numerical libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

REFUSED = ("pyflink", "numba", "scipy", "sklearn", "river", "torch", "onnxruntime")
REFUSING = (
    f"import sys; sys.modules |= dict.fromkeys({REFUSED})\n"  # importing a module that is None here raises ImportError
)
ROOMS = ("streamgauge.jobs.kafka", "streamgauge.jobs.settings", "streamgauge.udfs.settings", "streamgauge.udfs.control")
NOT_FOR_CLIENTS = (
    "streamgauge.udfs.control.entity_actions",  # changes the state inside the job
    "streamgauge.udfs.control.inbox",  # applies messages inside the job
    "streamgauge.jobs.settings.limits",  # needs the detectors; used only if numba is installed
    "streamgauge.jobs.settings.reference",  # needs the detectors; run only to write the page of settings
)


def run(code: str, **environment: str) -> str:
    """The output of a Python process that cannot import these libraries."""
    done = subprocess.run(
        [sys.executable, "-c", REFUSING + code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_libraries_cannot_be_imported_in_these_tests():
    with pytest.raises(AssertionError, match="ModuleNotFoundError"):
        run("import numba.core")


def test_the_rooms_that_clients_use_import_none_of_them():
    code = f"""
import importlib, pkgutil
for room in {ROOMS}:
    for module in pkgutil.iter_modules(importlib.import_module(room).__path__, room + "."):
        if module.name not in {NOT_FOR_CLIENTS}:
            importlib.import_module(module.name)
            print(module.name)
"""
    imported = run(code).split()
    assert {"streamgauge.jobs.settings.loading", "streamgauge.udfs.control.messages"} <= set(imported)


def test_a_client_reads_settings_and_writes_messages():
    code = """
from streamgauge.jobs.settings.loading import load
from streamgauge.udfs.control.messages import key_of, parse
settings = load()
print(settings.kafka.bootstrap)
message = parse('{"type": "threshold", "value": 0.001}')
print(message.model_dump_json())
"""
    bootstrap, message = run(code, STREAMGAUGE__KAFKA__BOOTSTRAP="broker:9092").splitlines()
    assert bootstrap == "broker:9092"
    assert json.loads(message)["value"] == 0.001
