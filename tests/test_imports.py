"""Imports go one way, without a circle: jobs -> udfs -> models, and within udfs in the order of the data. Nothing pickles."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOP = ("models", "udfs", "jobs")
FORBIDDEN = {
    "models": ("pyflink", "kafka", "streamgauge.udfs", "streamgauge.jobs", "pickle", "joblib", "cloudpickle"),
    "udfs": ("kafka", "streamgauge.jobs", "pickle", "joblib", "cloudpickle"),
    "jobs": ("pickle", "joblib", "cloudpickle"),
}
# The way of the data: a room imports from the rooms before it only.
ORDER = ["settings", "said", "events", "entities", "windows", "scoring", "incidents", "output"]
ORDER += ["monitoring", "control", "pipeline", "flink"]
# What people and programs say is read by every stage; the rest of control acts on what the stages know.
SAID = {"messages", "feedback", "proof", "in_force", "shares"}


def modules() -> dict[str, Path]:
    """All modules by name."""
    found = {}
    for top in TOP:
        for path in (ROOT / top).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(("streamgauge", *(parts[:-1] if parts[-1] == "__init__" else parts)))] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """All that a file imports, within functions and under TYPE_CHECKING, too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def graph() -> dict[str, set[str]]:
    """The modules that each module imports."""
    known = modules()
    return {
        name: {other for other in imports(path) if other in known and other != name} for name, path in known.items()
    }


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


def test_no_module_imports_itself_by_way_of_others():
    rest = graph()
    while leaves := [name for name, others in rest.items() if not others & rest.keys()]:
        for name in leaves:
            del rest[name]
    assert rest == {}, "a circle among these modules"


def room_of(name: str) -> str | None:
    """Room of a module of udfs; `said` is the part of control that every stage may read."""
    parts = name.split(".")
    if parts[1] != "udfs" or len(parts) < 4:
        return None
    return "said" if parts[2] == "control" and parts[3] in SAID else parts[2]


def test_a_stage_imports_earlier_stages_only():
    rooms = {name: room_of(name) for name in modules()}
    assert {room for room in rooms.values() if room} == set(ORDER)
    wrong = {
        f"{name} -> {other}"
        for name, others in graph().items()
        for other in others
        if rooms[name] and rooms[other] and ORDER.index(rooms[other]) > ORDER.index(rooms[name])
    }
    assert wrong == set()


def test_only_the_room_flink_imports_pyflink_under_udfs():
    users = {
        path.parent.name
        for path in (ROOT / "udfs").rglob("*.py")
        if any(i.startswith("pyflink") for i in imports(path))
    }
    assert users == {"flink"}


def test_each_room_says_what_it_is_for_and_what_goes_in_and_out():
    for top in TOP:
        for init in (ROOT / top).rglob("__init__.py"):
            lines = (ast.get_docstring(ast.parse(init.read_text())) or "").splitlines()
            assert [line.split(":")[0] for line in lines[2:]] == ["In", "Out"], init


def test_what_the_operator_is_unpickled_with_imports_no_numerical_library():
    """That happens on Flink's thread, where numba, scipy and torch deadlock (docs/adr/002)."""
    code = (
        "import sys, streamgauge.jobs.kafka.topics, streamgauge.udfs.flink.group_incidents; "
        "import streamgauge.udfs.flink.score_batch as s; print(s.SHARDS_KEY, "
        "sorted({'numba', 'scipy', 'sklearn', 'river', 'torch', 'onnxruntime', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "shards []"


def test_the_service_needs_neither_flink_nor_numerical_libraries():
    heavy = "'pyflink', 'apache_beam', 'numba', 'scipy', 'sklearn', 'river', 'torch', 'pandas', 'matplotlib'"
    code = f"import sys, streamgauge.jobs.service.app; print(sorted({{{heavy}}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_service_scores_events_without_flink():
    code = "import sys, streamgauge.jobs.service.scoring; print(sorted({'pyflink', 'apache_beam'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_no_file_is_longer_than_500_lines():
    files = [p for f in (*FORBIDDEN, "tests", "benchmarks", "examples") for p in (ROOT / f).rglob("*.py")]
    files = [p for p in files if "_pb2" not in p.name]  # `make proto` writes these
    assert {p.name for p in files if len(p.read_text().splitlines()) > 500} == set()
