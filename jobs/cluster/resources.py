"""Paths of the files in the package that are not Python modules. No other module looks for them.

The names are the same in a clone and in an installed wheel: `streamgauge.conf` is the folder flink-conf, and `streamgauge.nab` is
examples/nab (see setup.py).
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from streamgauge.models.errors import ClusterError


def _file(package: str, name: str) -> Path:
    """A file of a package, as a path that Java and Maven can open."""
    try:
        path = Path(str(files(package) / name))
    except ModuleNotFoundError:
        path = Path(name)
    if not path.is_file():
        raise ClusterError(f"{package} has no file {name}: the installation is not complete, install streamgauge again")
    return path


def flink_configuration() -> Path:
    """Folder with Flink's configuration, its logging, our default settings and their JSON Schemas."""
    return _file("streamgauge.conf", "config.yaml").parent


def pom() -> Path:
    """Maven's list of the jars that pip does not install."""
    return _file("streamgauge.conf", "pom.xml")


def constraints() -> Path:
    """Exact versions of all Python packages, for ``pip install -c``."""
    return _file("streamgauge.conf", "constraints.txt")


def default_settings() -> Path:
    """A settings file with every key, its default and its meaning."""
    return _file("streamgauge.conf", "detection.yaml")


def demo_series() -> Path:
    """Folder with the labelled series of the demo."""
    return _file("streamgauge.nab", "windows.json").parent


def job_script() -> Path:
    """The script that Flink runs."""
    return _file("streamgauge.jobs", "detect_anomalies.py")


def operator_source() -> Path:
    """The job's operator in Java."""
    return _file("streamgauge.udfs.flink", "RecordBatches.java")


def kernel_sources() -> list[Path]:
    """All Python files that a compiled kernel can depend on, in a fixed order."""
    folders = (
        _file("streamgauge.models", "errors.py").parent,
        _file("streamgauge.udfs.settings", "base.py").parents[1],
    )
    return sorted(file for folder in folders for file in folder.rglob("*.py"))
