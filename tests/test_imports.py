"""Imports go one way: jobs -> udfs -> models; nothing under models knows Flink or Kafka; nothing anywhere pickles."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "models": ("pyflink", "kafka", "streamgauge.udfs", "streamgauge.jobs", "pickle", "joblib", "cloudpickle"),
    "udfs": ("kafka", "streamgauge.jobs", "pickle", "joblib", "cloudpickle"),
    "jobs": ("pickle", "joblib", "cloudpickle"),
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_go_one_way(folder):
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    wrong = {
        f"{path.name}: {name}"
        for path in files
        for name in imports(path)
        if any(name == f or name.startswith(f + ".") for f in FORBIDDEN[folder])
    }
    assert wrong == set()


def test_only_operators_import_pyflink_under_udfs():
    users = {p.name for p in (ROOT / "udfs").rglob("*.py") if any(i.startswith("pyflink") for i in imports(p))}
    assert users == {"score_batch.py", "group_incidents.py"}


def test_what_the_operator_is_unpickled_with_imports_no_numerical_library():
    """That happens on Flink's thread, where numba, scipy and torch deadlock (docs/adr/002)."""
    code = (
        "import sys, streamgauge.jobs.kafka.topics, streamgauge.udfs.flink.group_incidents; "
        "import streamgauge.udfs.flink.score_batch as s; print(s.SHARDS_KEY, "
        "sorted({'numba', 'scipy', 'sklearn', 'river', 'torch', 'onnxruntime', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "shards []"


def test_no_file_is_longer_than_500_lines():
    files = [p for f in (*FORBIDDEN, "tests", "benchmarks") for p in (ROOT / f).rglob("*.py")]
    assert {p.name for p in files if len(p.read_text().splitlines()) > 500} == set()
