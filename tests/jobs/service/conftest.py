"""A history in SQLite and in a real PostgreSQL, and a service over it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest
from streamgauge.jobs.service.database import connect, migrate
from streamgauge.jobs.service.history import History
from streamgauge.jobs.settings.kafka import TopicSettings

USER = "postgres"


def programs() -> Path:
    """Folder of PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        raise RuntimeError("PostgreSQL's programs are needed: ./install.sh dev installs them")
    return found[-1].parent if found else Path(str(on_path)).parent


def as_owner(command: list[str]) -> None:
    """Run a program of PostgreSQL, which refuses to run as root."""
    prefix = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *command], check=True, capture_output=True, cwd="/")


@pytest.fixture(scope="session")
def postgresql():
    """URL of a PostgreSQL server, without the name of a database."""
    folder = Path(tempfile.mkdtemp(prefix="streamgauge-postgresql-"))
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    as_owner([str(programs() / "initdb"), "-D", str(data), "-U", USER, "--auth=trust", "-E", "UTF8"])
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    as_owner([str(programs() / "pg_ctl"), "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start"])
    yield f"postgresql://{USER}@127.0.0.1:{port}"
    as_owner([str(programs() / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"])
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """An empty history; its URL is `url`."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'history.db'}"
    else:
        server, name = request.getfixturevalue("postgresql"), f"t{os.urandom(8).hex()}"
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        url = f"{server}/{name}"
    engine = connect(url, tmp_path)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def history(database):
    """Writes into the history."""
    return History(database, TopicSettings())
