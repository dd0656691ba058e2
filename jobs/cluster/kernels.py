"""Compiled kernels: compiled before a job needs them, and stored where every process of the local cluster finds them.

Numba compiles a kernel when it is first called, which takes seconds for each kernel. `compiling` does that in another process while Kafka
and Flink start. The compiled kernels are stored in the home of the local cluster, in a folder for exactly this code.
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
KEPT = 4  # caches of other versions that are kept, because several clones and versions may share a home
REPORT_SECONDS = 10.0


def kernel_cache(home: Path) -> Path:
    """Folder of the compiled kernels of exactly this code.

    Numba does not notice when a kernel changes that another file imports, so each state of the code has its own folder. Numba finds a
    kernel by the path of its source, so each installation has its own folder, too.
    """
    sources = kernel_sources()
    digest = hashlib.blake2b(f"{version('numba')} {sources[0]}".encode(), digest_size=8)
    for file in sources:
        digest.update(file.read_bytes())
    return home / "numba" / digest.hexdigest()


def use_compiled(home: Path) -> None:
    """Let this process load compiled kernels from `home`, if there are any for this code. Must be called before numba is imported."""
    if CACHE not in os.environ and (cache := kernel_cache(home)).is_dir():
        os.environ[CACHE] = str(cache)


def forget_old(home: Path) -> None:
    """Delete the compiled kernels of other versions of the code, except the newest few."""
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
    """Compile kernels in another process while the block runs. At the end of the block they are ready.

    Parameters
    ----------
    home : Path
        Home of the local cluster.
    settings : str, optional
        JSON of the `PipelineSettings` of a job: the kernels that it calls are compiled. Without it, all kernels are.
    say : callable
        Called with a line of text about the progress.
    needed : bool
        Whether a failure is an error. If not, it is reported, and the job compiles the kernels when it starts.

    Raises
    ------
    ClusterError
        The kernels are `needed` but cannot be compiled.
    """
    cache = kernel_cache(home)
    name = "all" if settings is None else hashlib.blake2b(settings.encode(), digest_size=8).hexdigest()
    ready = cache / f"ready-{name}"
    installed = max(
        file.stat().st_ctime for file in kernel_sources()
    )  # numba compiles a kernel again when its file is newer
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
            stdin=text,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=os.environ | {CACHE: str(cache)},
        )
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
