"""Submit the job to a Flink cluster, and wait until it runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.home import writable
from streamgauge.jobs.cluster.local_cluster import Cluster, install_flink, jars
from streamgauge.jobs.cluster.resources import job_script
from streamgauge.jobs.cluster.rest_security import java_client
from streamgauge.jobs.settings.flink import RestSettings
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import ClusterError


def submit(
    settings: Settings,
    settings_file: Path | None = None,
    *,
    jobmanager: str | None = None,
    target: str = "remote",
    from_savepoint: str | None = None,
    options: tuple[str, ...] = (),
    wait: bool = True,
    home: Path | None = None,
) -> str:
    """Submit the detection job.

    Parameters
    ----------
    settings : Settings
        Checked settings. The job itself reads `settings_file` and the environment again.
    settings_file : Path, optional
        File from which the settings were read.
    jobmanager : str, optional
        ``host:port`` of the REST endpoint of a session cluster. By default `flink.rest.address`, or that of the local cluster.
    target : str
        Flink's deployment target.
    from_savepoint : str, optional
        Savepoint or checkpoint to start from.
    options : tuple of str
        Further options for ``flink run``. They come after ours.
    wait : bool
        Whether to wait until every task runs. Only for the target `remote`.
    home : Path, optional
        Folder of the local cluster.

    Returns
    -------
    str
        The job's id.

    Raises
    ------
    ClusterError
        Flink refused the job. The message has Flink's reason.
    """
    local, rest = Cluster.load(home), settings.flink.rest
    jobmanager = jobmanager or rest.address
    if jobmanager is None or (local is not None and jobmanager == local.jobmanager):
        rest = RestSettings()  # the local cluster is reached in the open
    if jobmanager is None:
        if local is None and target == "remote":
            raise ClusterError("no local cluster: `streamgauge up` starts one, --jobmanager HOST:PORT names another")
        jobmanager = local.jobmanager if local else ""
    flink = Path(os.environ["FLINK_HOME"]) if os.environ.get("FLINK_HOME") and local is None else None
    if flink is None:
        local = local or Cluster(writable(home), {})
        flink = local.flink_home
        if not (flink / "bin" / "flink").exists():
            install_flink(local, jars(local.home))
    command = [str(flink / "bin" / "flink"), "run", "-d", "-t", target]
    if target == "remote":
        host, _, port = jobmanager.rpartition(":")
        command += [f"-Drest.address={host}", f"-Drest.port={port}"]
    command += [f"-Dpython.execution-mode={settings.job.execution}", "-Dtable.exec.uid.generation=ALWAYS"]
    command += [f"-Dpython.client.executable={sys.executable}"]
    if from_savepoint:
        command += ["-s", from_savepoint]
    command += [*options, "-py", str(job_script())]
    if settings_file is not None:
        command += ["--settings", str(settings_file.absolute())]
    environment = local.environment() if local else dict(os.environ)
    conf = Path(environment.get("FLINK_CONF_DIR", flink / "conf"))
    with java_client(rest if target == "remote" else RestSettings(), conf) as java:
        done = subprocess.run(
            [*command[:3], *java.options, *command[3:]],
            capture_output=True,
            text=True,
            env=environment | java.environment,
            check=False,
        )
    output = java.hidden(done.stdout + done.stderr)
    match = re.search(r"JobID ([0-9a-f]{32})", output)
    if done.returncode or match is None:
        raise ClusterError(f"Flink did not take the job:\n{_reason(output)}")
    if wait and target == "remote":
        FlinkRest(jobmanager, rest).wait_running(match[1])
    return match[1]


def _reason(output: str) -> str:
    """The lines of Flink's output that name the reason of a failure."""
    lines = output.splitlines()
    causes = [line for line in lines if line.startswith(("Caused by", "error:", "pyflink.")) or "Error:" in line]
    return "\n".join(causes[-4:] or lines[-8:])
