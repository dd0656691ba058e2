"""What a program needs to talk to a running job: settings, control messages, feedback, alerts; without Flink and numerical libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

REFUSED = ("pyflink", "numba", "scipy", "sklearn", "river", "torch", "onnxruntime")
REFUSING = f"import sys; sys.modules |= dict.fromkeys({REFUSED})\n"  # None there: importing it is an ImportError
ROOMS = ("streamgauge.jobs.kafka", "streamgauge.jobs.settings", "streamgauge.udfs.settings", "streamgauge.udfs.control")
NOT_FOR_CLIENTS = (
    "streamgauge.udfs.control.entity_actions",  # changes the state inside the job
    "streamgauge.udfs.control.inbox",  # reads messages inside the job
    "streamgauge.jobs.settings.reference",  # writes the page of settings
    "streamgauge.jobs.settings.limits",  # asks the detectors; only where numba is
)


def run(code: str, **environment: str) -> str:
    """What a Python prints in which those libraries are not to be had."""
    done = subprocess.run(
        [sys.executable, "-c", REFUSING + code],
        capture_output=True, text=True, check=False, env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_libraries_are_refused_indeed():
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
