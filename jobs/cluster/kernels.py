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

from streamgauge.jobs.cluster.resources import kernel_sources
from streamgauge.models.errors import ClusterError

CACHE = "NUMBA_CACHE_DIR"
KEPT = 4  # caches of other code that are kept: clones and versions may share a home
REPORT_SECONDS = 10.0


def kernel_cache(home: Path) -> Path:
    """Folder of the compiled kernels of this very code.

    Numba does not see that a kernel which another file imports has changed, so each state of the code has its own folder. It finds a
    kernel by the place of its source, so each installation has its own, too.
    """
    sources = kernel_sources()
    digest = hashlib.blake2b(f"{version('numba')} {sources[0]}".encode(), digest_size=8)
    for file in sources:
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
    settings: str | None = None,
    say: Callable[[str], None] = lambda _: None,
    needed: bool = False,
) -> Iterator[None]:
    """Compile beside what the caller does; at the end of the block the kernels are ready.

    Parameters
    ----------
    home : Path
        Home of the local cluster.
    settings : str, optional
        JSON of a job's `PipelineSettings`: what it calls is compiled; everything, unless given.
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
    name = "all" if settings is None else hashlib.blake2b(settings.encode(), digest_size=8).hexdigest()
    ready = cache / f"ready-{name}"
    installed = max(file.stat().st_ctime for file in kernel_sources())  # numba compiles again what was written again
    if any(done.exists() and done.stat().st_mtime > installed for done in (ready, cache / "ready-all")):
        yield
        return
    cache.mkdir(parents=True, exist_ok=True)
    say("compiling kernels (only once for this version)")
    with tempfile.TemporaryFile("w+") as text, tempfile.TemporaryFile("w+") as errors:
        json.dump(settings, text)
        text.seek(0)
        started = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-m", "streamgauge.jobs.cluster.compile_kernels"],
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
