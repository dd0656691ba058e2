"""A history in SQLite and in a real PostgreSQL, and a service over it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest
from streamgauge.jobs.service.database import connect, migrate
from streamgauge.jobs.service.history import History
from streamgauge.jobs.settings.kafka import TopicSettings

from tests.jobs.service.postgresql_server import PostgreSqlServer

TIMESCALE = "-c shared_preload_libraries=timescaledb -c timescaledb.telemetry_level=off"


@contextlib.contextmanager
def _server(more: str = ""):
    folder = Path(tempfile.mkdtemp(prefix="streamgauge-postgresql-"))
    server = PostgreSqlServer(folder, more)
    yield server
    server.kill()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgresql():
    """A PostgreSQL server for all tests of a process."""
    with _server() as server:
        yield server


@pytest.fixture(scope="session")
def timescaledb(postgresql):
    """A PostgreSQL server that has loaded the extension TimescaleDB, where that is installed."""
    if not postgresql.offers("timescaledb"):
        pytest.skip("the extension TimescaleDB is not installed (docs/development.md says how)")
    with _server(TIMESCALE) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request):
    """The kind of database of a test; what differs with the extension TimescaleDB is tested with that, too."""
    return request.param


@pytest.fixture
def database(kind, request, tmp_path):
    """An empty history; its URL is `url`."""
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path / 'history.db'}"
    else:
        server = request.getfixturevalue(kind)
        url = server.database() if kind == "timescaledb" else server.schema()  # an extension is of a database
    engine = connect(url, tmp_path)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def history(database):
    """Writes into the history."""
    return History(database, TopicSettings())
