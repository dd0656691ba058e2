"""Make FLINK_HOME in the job image, from the wheel of Flink, the jars of Maven and flink-conf.

The same function makes that of the local cluster, so an image and `streamgauge up` run the same Flink with the same options. Only the
addresses differ, because the processes of a container are called from others.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from streamgauge.jobs.cluster.local_cluster import Cluster, install_flink
from streamgauge.jobs.settings.strict_yaml import read, write

ADDRESSES = {
    "rest.address": "0.0.0.0",
    "rest.bind-address": "0.0.0.0",
    "jobmanager.bind-host": "0.0.0.0",
    "taskmanager.bind-host": "0.0.0.0",
}
PORTS = {"blob.server.port": 6124, "metrics.reporter.prom.port": 9249}
NOT_HERE = ("taskmanager.host",)  # a TaskManager in a container finds its own


def main() -> None:
    """Make the folder ``flink`` in a home."""
    parser = argparse.ArgumentParser(description="Make FLINK_HOME from the wheel of Flink, jars and flink-conf.")
    parser.add_argument("--home", type=Path, required=True, help="folder in which `flink` is made")
    parser.add_argument("--jars", type=Path, required=True, help="folder with the jars: flink/ for lib, plugins/NAME")
    parser.add_argument("--logging", type=Path, required=True, help="log4j configuration of the processes")
    parser.add_argument("--state", type=Path, required=True, help="folder for checkpoints and savepoints: a volume")
    chosen = parser.parse_args()
    cluster = Cluster(chosen.home, {})
    install_flink(cluster, chosen.jars)
    for jar in (chosen.jars / "plugins").glob("*/*.jar"):
        folder = cluster.flink_home / "plugins" / jar.parent.name
        folder.mkdir(exist_ok=True)
        (folder / jar.name).symlink_to(jar)
    file = cluster.flink_home / "conf" / "config.yaml"
    config = {key: value for key, value in read(file.read_bytes(), file.name).items() if key not in NOT_HERE}
    folders = {
        "execution.checkpointing.dir": (chosen.state / "checkpoints").as_uri(),
        "execution.checkpointing.savepoint-dir": (chosen.state / "savepoints").as_uri(),
        "io.tmp.dirs": "/tmp",
    }
    file.write_text(write(config | ADDRESSES | PORTS | folders))
    shutil.copy(chosen.logging, cluster.flink_home / "conf" / "log4j-console.properties")


if __name__ == "__main__":
    main()
