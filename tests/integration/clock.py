"""A wall clock that tests can set, for the processes that are started with it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest


class Clock:
    """The wall clock of all processes that are started with `environment`.

    Attributes
    ----------
    environment : dict of str to str
    """

    def __init__(self, folder: Path) -> None:
        self._file, library = folder / "clock", folder / "wrong_clock.so"
        self.step(0)
        compiler = shutil.which("cc") or pytest.skip("there is no C compiler")
        source = Path(__file__).with_name("wrong_clock.c")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
        self.environment = {"LD_PRELOAD": str(library), "WRONG_CLOCK": str(self._file)}

    def step(self, milliseconds: int) -> None:
        """Make it wrong by this much."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("q", milliseconds))
