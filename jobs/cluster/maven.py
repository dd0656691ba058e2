"""Jars that pip does not install. Maven downloads them once."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from streamgauge.models.errors import ClusterError


def fetch(pom: Path, home: Path, folder: Path, needed: tuple[str, ...]) -> None:
    """Download jars to a folder, unless they are there.

    Parameters
    ----------
    pom : Path
        Names the jars; its property `jars` is the folder.
    home : Path
        Home of the local cluster.
    folder : Path
    needed : tuple of str
        Patterns of files in the folder, by which it is seen that the jars are there.

    Raises
    ------
    ClusterError
        Maven is missing, or cannot download the jars.
    """
    if all(any(folder.glob(pattern)) for pattern in needed):
        return
    if shutil.which("mvn") is None:
        raise ClusterError("no Maven found, needed once for the Kafka jars: apt install maven")
    # a copy, because Maven may write into the folder of the file, and the package may not be writable
    description = shutil.copy(pom, home / "pom.xml")
    command = ["mvn", "-q", "-B", "-f", str(description), "process-resources", f"-Djars={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"Maven could not fetch the jars: {(done.stdout + done.stderr).strip()[-600:]}")
