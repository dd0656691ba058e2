"""Kill the processes of a job under load, and start them again as an operator does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from streamgauge.jobs.cluster import local_cluster
from streamgauge.jobs.cluster.local_cluster import Cluster, Process
from streamgauge.jobs.cluster.submit import submit

from tests.integration.live import PATIENCE, STREAMGAUGE, Live


def kill(process: Process) -> None:
    """Kill -9 a process of the cluster, and wait until it has ended."""
    killed = psutil.Process(process.pid)
    killed.kill()
    psutil.wait_procs([killed])


def stop(cluster: Cluster, process: Process) -> None:
    """End a process of the cluster for good. It can tell the others that it goes."""
    if ended := process.running():
        ended.terminate()
        psutil.wait_procs([ended])
    cluster.processes.remove(process)
    cluster.save()  # else `doctor` finds it lost


@contextmanager
def at_least(cluster: Cluster, taskmanagers: int) -> Iterator[None]:
    """Have so many TaskManagers while the block runs."""
    more = [local_cluster.add_taskmanager(cluster) for _ in range(taskmanagers - len(cluster.roles("taskmanager")))]
    try:
        yield
    finally:
        for process in more:
            stop(cluster, process)


def kill_busy_taskmanager(live: Live, job: str) -> None:
    """Kill the TaskManager that runs the scoring operator."""
    vertices = live.rest.call(f"/jobs/{job}")["vertices"]
    [vertex] = [v["id"] for v in vertices if v["name"].startswith("score ")]
    where = live.rest.call(f"/jobs/{job}/vertices/{vertex}/taskmanagers")["taskmanagers"][0]["taskmanager-id"]
    [process] = [p for p in live.cluster.roles("taskmanager") if where.startswith(p.role)]
    kill(process)
    live.cluster.processes.remove(process)
    live.cluster.save()


def restart_broker(cluster: Cluster) -> None:
    """Kill the broker, and start it with the data that it has."""
    [broker] = cluster.roles("kafka")
    kill(broker)
    local_cluster.start_kafka(cluster, local_cluster.java(), local_cluster.jars(cluster.home))
    local_cluster.wait_for_kafka(cluster)


def newest_checkpoint(cluster: Cluster, jobs: list[str]) -> str:
    """The folder of the newest complete checkpoint of some jobs. A checkpoint is complete when it has the file `_metadata`."""
    folders = (cluster.home / "checkpoints" / job for job in jobs)
    complete = [file for folder in folders for file in folder.glob("chk-*/_metadata")]
    return max(complete, key=lambda file: file.stat().st_mtime_ns).parent.as_uri()


class Victims:
    """A running job and a running trainer, whose processes can be killed.

    Parameters
    ----------
    live : Live
    trainer : Path
        Settings file of the trainer.

    Attributes
    ----------
    job : str
        Id of the job. It is another one after the JobManager was killed.
    """

    KINDS = ("taskmanager", "jobmanager", "broker", "trainer")

    def __init__(self, live: Live, trainer: Path) -> None:
        self._live, self._settings, self._output = live, trainer, trainer.with_suffix(".out")
        self._jobs: list[str] = []
        self._submit()
        self._start_trainer()

    def kill(self, kind: str) -> None:
        """Kill a process of a kind, start it again, and wait until the job runs."""
        match kind:
            case "taskmanager":
                kill_busy_taskmanager(self._live, self.job)
                local_cluster.add_taskmanager(self._live.cluster, wait=False)
            case "jobmanager":
                self._replace_jobmanager()
            case "broker":
                restart_broker(self._live.cluster)
            case "trainer":
                self._trainer.kill()
                self._trainer.wait()
                self._start_trainer()
        self._live.rest.wait_running(self.job, PATIENCE)

    @property
    def job(self) -> str:
        """Id of the running job."""
        return self._jobs[-1]

    def _replace_jobmanager(self) -> None:
        """Kill the JobManager. A new one knows no job, so the job is submitted again, from its newest checkpoint."""
        cluster = self._live.cluster
        [jobmanager] = cluster.roles("jobmanager")
        kill(jobmanager)
        local_cluster.start_jobmanager(cluster)
        local_cluster.wait_for(cluster, "jobmanager", lambda: bool(cluster.rest.call("/overview")))
        self._submit(newest_checkpoint(cluster, self._jobs))

    def _submit(self, checkpoint: str | None = None) -> None:
        live = self._live
        job = submit(
            live.settings,
            live.file,
            jobmanager=live.cluster.jobmanager,
            from_savepoint=checkpoint,
            wait=False,
        )
        self._jobs.append(job)

    def _start_trainer(self) -> None:
        command = [STREAMGAUGE, "train", "--watch", "--settings", str(self._settings)]
        with self._output.open("ab") as out:
            self._trainer = subprocess.Popen(command, stdout=out, stderr=out, env=dict(os.environ))

    def trainer_said(self) -> str:
        """What the trainer has printed."""
        return self._output.read_text()

    def trainer_runs(self) -> bool:
        """Whether the trainer has not ended by itself."""
        return self._trainer.poll() is None

    def stop(self) -> None:
        """Cancel the job, and end the trainer."""
        self._trainer.kill()
        self._trainer.wait()
        self._live.rest.cancel(self.job)
