"""A real PostgreSQL that a test can end at once and start again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import psycopg

USER = "postgres"


def programs() -> Path:
    """Folder of PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        raise RuntimeError("PostgreSQL's programs are needed: ./install.sh dev installs them")
    return found[-1].parent if found else Path(str(on_path)).parent


class PostgreSqlServer:
    """A PostgreSQL of its own on a free port.

    Parameters
    ----------
    folder : Path
        For its files. The user `postgres` must be able to enter it.
    more : str
        More options of the server.

    Attributes
    ----------
    url : str
        Without the name of a database.
    """

    def __init__(self, folder: Path, more: str = "") -> None:
        self._folder, self._data, self._more = folder, str(folder / "data"), more
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"postgresql://{USER}@127.0.0.1:{self._port}"
        self._run("initdb", "-D", self._data, "-U", USER, "--auth=trust", "-E", "UTF8")
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = f"-p {self._port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off {self._more}"
        self._run("pg_ctl", "-D", self._data, "-o", options, "-l", str(self._folder / "log"), "-w", "start")

    def kill(self) -> None:
        """End it without a word to its clients: it recovers from its log at the next start."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "stop")

    def database(self) -> str:
        """URL of a new database."""
        name = f"t{os.urandom(8).hex()}"
        self._make(f"CREATE DATABASE {name}")
        return f"{self.url}/{name}"

    def schema(self) -> str:
        """URL of a new schema of one database. It is made and removed in no time, and a database is hundreds of files."""
        name = f"t{os.urandom(8).hex()}"
        self._make(f"CREATE SCHEMA {name}")
        return f"{self.url}/{USER}?options=-csearch_path%3D{name}"

    def _make(self, statement: str) -> None:
        with psycopg.connect(f"{self.url}/{USER}", autocommit=True) as connection:
            connection.execute(statement)

    def offers(self, extension: str) -> bool:
        """Whether an extension is installed beside the server."""
        with psycopg.connect(f"{self.url}/postgres") as connection:
            query = "SELECT 1 FROM pg_available_extensions WHERE name = %s"
            return connection.execute(query, [extension]).fetchone() is not None

    def _run(self, program: str, *options: str) -> None:
        """Run a program of PostgreSQL, which refuses to run as root."""
        prefix = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
        said = self._folder / f"{program}.log"
        with said.open("w") as file:  # no pipe: the server would keep it open
            command = [*prefix, str(programs() / program), *options]
            done = subprocess.run(command, check=False, stdout=file, stderr=subprocess.STDOUT, cwd="/")
        if done.returncode:
            raise RuntimeError(f"{program} failed: {said.read_text()}")
