"""Put the definition of a FlinkDeployment in the environment of the Python that runs this file. A test of the chart reads it.

Flink's Kubernetes operator publishes it in a package for Java, of which Maven has no newer version than this one. The package has
Apache's licence.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "org.apache.flink:flink-kubernetes-operator-api:1.10.0"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
NAME = "flinkdeployments.flink.apache.org-v1.yml"
TARGET = Path(sys.prefix) / NAME


def main() -> None:
    """Download the package, and write the definition."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mvn", "-q", COPY, f"-Dartifact={PACKAGE}", f"-DoutputDirectory={folder}"], check=True)
        [jar] = Path(folder).glob("*.jar")
        with zipfile.ZipFile(jar) as archive:
            TARGET.write_bytes(archive.read(f"META-INF/fabric8/{NAME}"))


if __name__ == "__main__":
    main()
