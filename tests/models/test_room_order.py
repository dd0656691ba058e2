"""The rooms of models/ stand in one order: each imports from earlier ones only, and no modules import each other in a circle.

All imports count: those under TYPE_CHECKING, those inside functions, and modules that are loaded by name (`lazy_modules`).
"""

from __future__ import annotations

import ast
import graphlib
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "models"
PACKAGE = "streamgauge.models."
ORDER = [
    "errors",
    "contract",
    "lazy_modules",
    "kernel",
    "persistence.codec",
    "persistence.unfinished",
    "calibration",
    "evaluation",
    "detectors",
    "catalog",
    "ensemble",
    "persistence.manifest",
    "persistence.signature",
    "persistence.aliases",
    "persistence.stored_files",
    "persistence.registry",
    "training",
]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted(ROOT.rglob("*.py"))
    if path.name != "__init__.py"
}


def imported(path: Path) -> set[str]:
    """Modules of models/ that a file imports or loads by name, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.removeprefix(PACKAGE) for alias in node.names if alias.name.startswith(PACKAGE)}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            base = f"{node.module}.".removeprefix(PACKAGE).rstrip(".")
            names = {f"{base}.{alias.name}" for alias in node.names} & set(MODULES)
            found |= names or ({base} & set(MODULES))
        elif isinstance(node, ast.Constant) and node.value in MODULES and "." in node.value:
            found.add(node.value)
    return found


IMPORTS = {module: imported(path) for module, path in MODULES.items()}


def room(module: str) -> int:
    """Place of a module's room in the order."""
    return next(k for k, name in enumerate(ORDER) if module == name or module.startswith(name + "."))


def test_no_modules_import_each_other_in_a_circle():
    assert sum(map(len, IMPORTS.values())) > 100
    assert "detectors.network.torch_training" in IMPORTS["detectors.network.network_detector"]  # it is loaded by name
    graphlib.TopologicalSorter(IMPORTS).prepare()  # raises CycleError, which names the modules


def test_every_room_imports_from_earlier_ones_only():
    wrong = {
        f"{module} imports {other}" for module, of in IMPORTS.items() for other in of if room(other) > room(module)
    }
    assert wrong == set()


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES.values()} - {ROOT}), ids=lambda f: f.name)
def test_every_room_names_its_modules_and_imports_none(folder):
    source = folder / "__init__.py"
    spec = importlib.util.spec_from_file_location("room", source)
    opened = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(opened)
    modules = {p.stem for p in folder.glob("*.py")} | {p.parent.name for p in folder.glob("*/__init__.py")}
    assert sorted(opened.__all__) == sorted(modules - {"__init__"})
    assert not any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(ast.parse(source.read_text())))


def test_only_modules_that_are_loaded_by_name_import_what_is_large_or_optional():
    heavy = {"torch", "onnxruntime", "sklearn", "cryptography"}
    users = {
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None)])
        if (name or "").partition(".")[0] in heavy
    }
    loaded = {
        node.value
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in MODULES
    }
    before_the_job = {
        "ensemble.weights",
        "evaluation.evaluation",
        "training.candidate",
    }  # nothing of the job imports these
    assert users - before_the_job <= loaded
