"""The folder in which the local cluster keeps its state: jars, topics, checkpoints, savepoints, logs, compiled kernels."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from streamgauge.models.errors import InputError


def default_home() -> Path:
    """The folder STREAMGAUGE_HOME, or `streamgauge` in the user's cache folder (XDG_CACHE_HOME or ~/.cache)."""
    named = os.environ.get("STREAMGAUGE_HOME")
    if named:
        return Path(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "streamgauge"


def existing_or_new(home: Path | None) -> Path:
    """The home for reading. It need not exist yet.

    Parameters
    ----------
    home : Path, optional
        `default_home` unless given.

    Raises
    ------
    InputError
        The home is a file.
    """
    home = default_home() if home is None else home.absolute()
    if home.exists() and not home.is_dir():
        raise InputError(f"home {home} is a file: --home and STREAMGAUGE_HOME name a folder")
    return home


def writable(home: Path | None) -> Path:
    """The home for writing. It is created if it does not exist.

    Raises
    ------
    InputError
        The home is a file, or cannot be written to; the message has the reason.
    """
    home = existing_or_new(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise InputError(
            f"cannot write to home {home} ({error.strerror}): name another folder with --home or STREAMGAUGE_HOME"
        ) from error
    return home
