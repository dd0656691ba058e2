"""Kernels are compiled once for exactly this code, and loaded by every later process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from streamgauge.jobs.cluster import kernels
from streamgauge.jobs.cluster.kernels import CACHE, compiling, forget_old, kernel_cache, use_compiled
from streamgauge.jobs.cluster.local_cluster import Cluster
from streamgauge.models.errors import ClusterError
from streamgauge.udfs.settings.pipeline import PipelineSettings

pytestmark = pytest.mark.slow

ONE = dict.fromkeys(type(PipelineSettings().detectors).model_fields) | {"flat_line": {}}
SMALL = PipelineSettings.model_validate({"detectors": ONE}).model_dump_json()


def test_changed_code_has_a_cache_of_kernels_of_its_own(tmp_path, monkeypatch):
    kernel = tmp_path / "kernel.py"
    kernel.write_text("A = 1")
    monkeypatch.setattr(kernels, "kernel_sources", lambda: [kernel])
    before = kernel_cache(tmp_path)
    assert Cluster(tmp_path, {}).environment()[CACHE] == str(before)
    kernel.write_text("A = 2")
    assert kernel_cache(tmp_path) != before
    kernel.write_text("A = 1")
    assert kernel_cache(tmp_path) == before


def test_kernels_are_compiled_once_and_then_only_loaded(tmp_path):
    lines: list[str] = []
    with compiling(tmp_path, SMALL, lines.append):
        assert lines == ["compiling kernels (only once for this version)"]
    assert lines[-1].startswith("kernels are ready")
    compiled = sorted(kernel_cache(tmp_path).rglob("*.nb[ci]"))
    assert compiled
    lines.clear()
    with compiling(tmp_path, SMALL, lines.append):
        pass
    assert lines == []
    environment = os.environ | {CACHE: str(kernel_cache(tmp_path))}
    command = [sys.executable, "-m", "streamgauge.jobs.cluster.compile_kernels"]
    subprocess.run(command, input=json.dumps(SMALL), text=True, env=environment, check=True)
    assert sorted(kernel_cache(tmp_path).rglob("*.nb[ci]")) == compiled


def test_another_installation_of_the_same_code_has_kernels_of_its_own(tmp_path, monkeypatch):
    caches = []
    for place in ("one", "other"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "kernel.py").write_text("A = 1")
        monkeypatch.setattr(kernels, "kernel_sources", lambda folder=tmp_path / place: [folder / "kernel.py"])
        caches.append(kernel_cache(tmp_path))
    assert caches[0] != caches[1]


def test_kernels_are_compiled_again_after_an_installation(tmp_path):
    cache = kernel_cache(tmp_path)
    cache.mkdir(parents=True)
    (cache / "ready-all").touch()
    os.utime(cache / "ready-all", (1, 1))
    lines: list[str] = []
    with compiling(tmp_path, SMALL, lines.append):
        assert lines


def test_a_failure_is_reported_and_is_no_error_unless_the_kernels_are_needed(tmp_path):
    lines: list[str] = []
    broken = '{"detectors": {"no_such": {}}}'
    with compiling(tmp_path, broken, lines.append):
        pass
    assert "kernels were not compiled" in lines[-1]
    with pytest.raises(ClusterError, match="cannot be compiled"), compiling(tmp_path, broken, needed=True):
        pass


def test_an_error_in_the_block_ends_the_compiling(tmp_path):
    with pytest.raises(KeyError), compiling(tmp_path):
        raise KeyError
    assert not list(kernel_cache(tmp_path).glob("ready-*"))


def test_commands_use_compiled_kernels_only_if_there_are_any(tmp_path, monkeypatch):
    monkeypatch.delenv(CACHE, raising=False)
    use_compiled(tmp_path)
    assert CACHE not in os.environ
    kernel_cache(tmp_path).mkdir(parents=True)
    monkeypatch.setattr(os, "environ", {})
    use_compiled(tmp_path)
    assert os.environ == {CACHE: str(kernel_cache(tmp_path))}
    os.environ[CACHE] = "of the user's own"
    use_compiled(tmp_path)
    assert os.environ == {CACHE: "of the user's own"}


def test_the_newest_kernels_of_other_code_are_kept(tmp_path):
    mine = kernel_cache(tmp_path)
    folders = [tmp_path / "numba" / str(i) for i in range(6)]
    for age, folder in enumerate([*folders, mine]):
        folder.mkdir(parents=True)
        os.utime(folder, (1e9 - age, 1e9 - age))
    forget_old(tmp_path)
    assert set((tmp_path / "numba").iterdir()) == {*folders[: kernels.KEPT], mine}
