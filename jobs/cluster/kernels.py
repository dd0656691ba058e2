"""Compiled kernels: made before a job needs them, and kept where every process of the local cluster finds them.

Numba compiles a kernel when it is first called, which takes seconds each. `compiling` does that in a process of its own
while Kafka and Flink start; the compiled kernels lie under the home of the local cluster, in a folder for this very code.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from streamgauge.jobs.cluster.resources import kernel_sources
from streamgauge.models.errors import ClusterError
from streamgauge.udfs.settings.pipeline import PipelineSettings

CACHE = "NUMBA_CACHE_DIR"
KEPT = 4  # caches of other code that are kept: clones and versions may share a home
REPORT_SECONDS = 10.0
EVERYTHING: tuple[dict[str, Any], ...] = (
    {},
    {"silence": {"after": 3, "at_least": "5 m", "events": 50}},
    {"windows": {"hour": {"size": "1 h", "every": "10 m", "aggregates": {"x": ["mean"]}}}},
    {"detectors": {"rolling_z_score": {"memory": "window"}}},
    {"models": {"history": 16}},
)  # settings that together call nearly all kernels, beside one with all detectors


def kernel_cache(home: Path) -> Path:
    """Folder of the compiled kernels of this very code.

    Numba does not see that a kernel which another file imports has changed, so each state of the code has its own folder.
    """
    digest = hashlib.blake2b(version("numba").encode(), digest_size=8)
    for file in kernel_sources():
        digest.update(file.read_bytes())
    return home / "numba" / digest.hexdigest()


def use_compiled(home: Path) -> None:
    """Let this process load the kernels under `home`, if this code's are there; call it before numba is imported."""
    if CACHE not in os.environ and (cache := kernel_cache(home)).is_dir():
        os.environ[CACHE] = str(cache)


def forget_old(home: Path) -> None:
    """Delete the kernels of other code, except the newest few."""
    caches = {path: path.stat().st_mtime for path in (home / "numba").glob("*")}
    caches.pop(kernel_cache(home), None)
    for path in sorted(caches, key=lambda p: caches[p], reverse=True)[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def compiling(
    home: Path,
    settings: PipelineSettings | None = None,
    say: Callable[[str], None] = lambda _: None,
    needed: bool = False,
) -> Iterator[None]:
    """Compile beside what the caller does; at the end of the block the kernels are ready.

    Parameters
    ----------
    home : Path
        Home of the local cluster.
    settings : PipelineSettings, optional
        What a job with these settings calls is compiled; everything, unless given.
    say : callable
        Told of the progress, one line each time.
    needed : bool
        Whether a failure is an error. If not, it is reported, and the job compiles for itself.

    Raises
    ------
    ClusterError
        The kernels cannot be compiled, and are `needed`.
    """
    cache = kernel_cache(home)
    chosen = None if settings is None else settings.model_dump_json(include=set(PipelineSettings.model_fields))
    name = "all" if chosen is None else hashlib.blake2b(chosen.encode(), digest_size=8).hexdigest()
    ready = cache / f"ready-{name}"
    if ready.exists() or (cache / "ready-all").exists():
        yield
        return
    cache.mkdir(parents=True, exist_ok=True)
    say("compiling kernels (only once for this version)")
    with tempfile.TemporaryFile("w+") as text, tempfile.TemporaryFile("w+") as errors:
        json.dump(chosen, text)
        text.seek(0)
        started = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-m", "streamgauge.jobs.cluster.kernels"],
            stdin=text, stdout=subprocess.DEVNULL, stderr=errors, env=os.environ | {CACHE: str(cache)},
        )  # fmt: skip
        try:
            yield
            _wait(child, cache, say)
        finally:
            child.kill()
            child.wait()
        errors.seek(0)
        failure = None if child.returncode == 0 else (errors.read().strip().splitlines() or ["no reason is known"])[-1]
    if failure is None:
        ready.touch()
        say(f"kernels are ready ({time.monotonic() - started:.0f} s)")
    elif needed:
        raise ClusterError(f"the kernels cannot be compiled: {failure}")
    else:
        say(f"kernels were not compiled ({failure}): the job compiles them when it starts")


def _wait(child: subprocess.Popen[bytes], cache: Path, say: Callable[[str], None]) -> None:
    while True:
        try:
            child.wait(REPORT_SECONDS)
            return
        except subprocess.TimeoutExpired:
            say(f"compiling kernels: {sum(1 for _ in cache.rglob('*.nbi'))} so far")


def _compile(settings: str | None) -> None:
    """Call every kernel that these settings need, or all kernels."""
    from streamgauge.udfs.pipeline.shard import warm_up  # noqa: PLC0415  numba must not be imported with this module
    from streamgauge.udfs.scoring.trained_models import Models  # noqa: PLC0415

    if settings is not None:
        chosen = PipelineSettings.model_validate_json(settings)
        warm_up(chosen, Models(chosen.models))
        return
    off = [name for name, section in PipelineSettings().detectors if section is None]
    for values in (*EVERYTHING, {"detectors": {name: {} for name in off}}):
        chosen = PipelineSettings.model_validate(values)
        warm_up(chosen, Models(chosen.models))
    _compile_trained()


def _compile_trained() -> None:
    """Train and ask the small models that need no torch, and compare data with those of a training."""
    import numpy as np  # noqa: PLC0415
    from streamgauge.models.catalog import FITTED  # noqa: PLC0415
    from streamgauge.models.evaluation.drift import reference_of  # noqa: PLC0415

    X = np.random.default_rng(0).normal(size=(400, 3))
    for kind in FITTED.values():
        if not kind.needs_torch:
            model = kind().fit(X)
            model.score_many(X[:8])
            model.explain_many(X[:8])
    reference = reference_of(X)
    reference.counts(X)
    reference.bins(X)


if __name__ == "__main__":
    _compile(json.loads(sys.stdin.read()))
