"""A history in SQLite and in a real PostgreSQL, and a service over it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from streamgauge.jobs.service.database import connect, migrate
from streamgauge.jobs.service.history import History
from streamgauge.jobs.settings.kafka import TopicSettings

from tests.jobs.service.postgresql_server import PostgreSqlServer


@pytest.fixture(scope="session")
def postgresql():
    """A PostgreSQL server for all tests of a process."""
    folder = Path(tempfile.mkdtemp(prefix="streamgauge-postgresql-"))
    server = PostgreSqlServer(folder)
    yield server
    server.kill()
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """An empty history; its URL is `url`."""
    url = (
        f"sqlite:///{tmp_path / 'history.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgresql").database()
    )
    engine = connect(url, tmp_path)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def history(database):
    """Writes into the history."""
    return History(database, TopicSettings())
