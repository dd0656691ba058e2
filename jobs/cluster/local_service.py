"""The service with the page, as one more process beside the local cluster. `down` stops it, too."""

from __future__ import annotations

import os
import socket
import sys
import urllib.request
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
from streamgauge.jobs.cluster.local_cluster import SERVICE, Cluster, port_in_use, spawn, wait_for
from streamgauge.jobs.settings.loading import ENVIRONMENT

NEEDED = ("alembic", "fastapi", "multipart", "prometheus_client", "sqlalchemy", "sse_starlette", "uvicorn")
COMMAND = "from streamgauge.jobs.commands.app import app; app()"
STOP_SECONDS = 10


def installed() -> bool:
    """Whether the packages of the extra `serve` are there."""
    return all(find_spec(name) is not None for name in NEEDED)


def start(cluster: Cluster, settings_file: Path, port: int) -> str:
    """Start the service; one that runs already is stopped first.

    Parameters
    ----------
    cluster : Cluster
    settings_file : Path
        File with all settings of the service. The environment is not asked for others.
    port : int
        Port to listen on; if another process has it, a free one is taken.

    Returns
    -------
    str
        Address of the page. It does not answer yet; see `wait`.
    """
    stop(cluster)
    port = port if port and port_in_use(port) is None else _free_port()
    words = ["serve", "--settings", str(settings_file), "--home", str(cluster.home), "--host", "127.0.0.1"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT)}
    spawn(cluster, SERVICE, [sys.executable, "-c", COMMAND, *words, "--port", str(port)], environment)
    return f"http://127.0.0.1:{port}"


def wait(cluster: Cluster, address: str) -> None:
    """Wait until the page answers. Raises ClusterError with the service's last lines of output if it does not."""
    wait_for(cluster, SERVICE, lambda: _answers(address))


def stop(cluster: Cluster) -> None:
    """Stop the service, if it runs."""
    running = [live for process in cluster.roles(SERVICE) if (live := process.running())]
    for live in running:
        with suppress(psutil.NoSuchProcess):
            live.terminate()
    _, stubborn = psutil.wait_procs(running, timeout=STOP_SECONDS)
    for live in stubborn:
        with suppress(psutil.NoSuchProcess):
            live.kill()
    cluster.processes = [process for process in cluster.processes if process.role != SERVICE]
    cluster.save()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _answers(address: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{address}/healthz", timeout=5):
        return True
    return False
