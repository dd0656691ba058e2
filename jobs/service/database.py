"""The database of the history: SQLite in the home folder, or PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from alembic import command
from alembic.config import Config
from sqlalchemy import (
    Connection,
    Engine,
    ExceptionContext,
    Insert,
    Result,
    Table,
    Text,
    bindparam,
    cast,
    column,
    create_engine,
    event,
    func,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from streamgauge.models.errors import ClusterError, SettingsError

FILE = "history.db"
DRIVERS = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite"}
_WRITER = 7307002  # number of PostgreSQL's lock that orders the numbers of changes
WAIT = 10  # seconds to wait for a connection, or for another writer of a SQLite file
# A server whose machine vanishes says nothing. Without these, a request to it waits for a quarter of an hour, or for ever.
VANISHED = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
READ_ONLY = "25006"  # PostgreSQL's error code for a write where none is allowed


def connect(url: str | None, home: Path) -> Engine:
    """Open the database.

    Parameters
    ----------
    url : str, optional
        ``postgresql://user:password@host/name`` or ``sqlite:///file``; by default the file history.db in `home`.
    home : Path
        Folder; it exists.

    Raises
    ------
    SettingsError
        The URL is of another kind. The message does not show it, because it may hold a password.
    """
    allowed = "allowed is postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE"
    try:
        parsed = make_url(url or f"sqlite:///{home / FILE}")
        driver = DRIVERS[parsed.drivername.partition("+")[0]]
        options: dict[str, Any] = {"timeout": WAIT} if driver == "sqlite" else {"connect_timeout": WAIT} | VANISHED
        engine = create_engine(
            parsed.set(drivername=driver), connect_args=options, pool_pre_ping=True, json_serializer=_json
        )
    except (ArgumentError, NoSuchModuleError, KeyError) as error:
        raise SettingsError(f"service.database: {allowed} (is hidden)") from error
    if driver == "sqlite":
        event.listen(engine, "connect", _prepare)
    else:
        event.listen(engine, "handle_error", _leave_read_only)
    return engine


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _prepare(connection: Any, _: Any) -> None:
    """Let readers of a SQLite file go on while one connection writes, and wait for another writer."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def _leave_read_only(context: ExceptionContext) -> None:
    """Give up all connections when the server takes no writes: after a failover, its name may lead to another one."""
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


def migrate(engine: Engine) -> None:
    """Bring the tables to the newest version; several services may do so at the same time.

    Raises
    ------
    ClusterError
        The database does not answer, or refuses.
    """
    config = configuration()
    try:
        with engine.begin() as connection:
            alone = (
                "SELECT pg_advisory_xact_lock(7307001)" if engine.dialect.name == "postgresql" else "BEGIN IMMEDIATE"
            )
            connection.exec_driver_sql(alone)  # so that a step of the migrations is taken once, and as a whole
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except SQLAlchemyError as error:
        raise ClusterError(f"the database at {shown(engine)} cannot be used: {reason(error)}") from error


def configuration() -> Config:
    """Where Alembic finds the migrations."""
    config = Config()
    config.set_main_option("script_location", str(files("streamgauge.jobs.service") / "migrations"))
    return config


def shown(engine: Engine) -> str:
    """URL of the database without its password."""
    return engine.url.render_as_string(hide_password=True)


def reason(error: Exception) -> str:
    """First line of the database's own message; it holds neither the statement nor its values."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def write_alone(connection: Connection) -> None:
    """Let no other service write until the transaction ends. SQLite has one service only."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER})")


def insert_into(engine: Engine, table: Table) -> Any:
    """An INSERT of the database's dialect; it has `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return postgresql.insert(table) if engine.dialect.name == "postgresql" else sqlite.insert(table)


def or_update(statement: Any, keys: Iterable[str], columns: Iterable[str]) -> Insert:
    """An INSERT that changes these columns where a row with these keys exists."""
    new: Insert = statement.on_conflict_do_update(
        index_elements=list(keys), set_={name: statement.excluded[name] for name in columns}
    )
    return new


def insert_rows(
    connection: Connection,
    table: Table,
    rows: Sequence[dict[str, Any]],
    finish: Callable[[Any], Insert] | None = None,
    unless: Sequence[str] = (),
) -> Result[Any]:
    """Insert many rows in their order.

    PostgreSQL gets them as one JSON text, which it takes apart itself: one statement with one parameter, whatever the number of rows.

    Parameters
    ----------
    connection : Connection
    table : Table
    rows : sequence of dict
        At least one; all have the same keys.
    finish : callable, optional
        Adds to the INSERT what is to happen where a row is there already, and what is returned.
    unless : sequence of str
        Columns. A row is left out if the table has one with the same values in these. A constraint cannot do this in a partitioned table.
    """
    names, types = list(rows[0]), {name: table.c[name].type for name in rows[0]}
    given: Any = {name: bindparam(name, type_=types[name]) for name in names}
    insert: Any = insert_into(connection.engine, table)
    values: Any = rows
    if connection.dialect.name == "postgresql":
        text = cast(bindparam("rows", _json(rows), Text), postgresql.JSONB)
        columns = [column(name, types[name]) for name in names]
        given = func.jsonb_to_recordset(text).table_valued(*columns, name="given").render_derived(with_types=True).c
        values = {}
    if connection.dialect.name == "postgresql" or unless:
        chosen = select(*(given[name] for name in names))
        same = [table.c[name] == given[name] for name in unless]
        insert = insert.from_select(names, chosen.where(~select(1).where(*same).exists()) if unless else chosen)
    return connection.execute(insert if finish is None else finish(insert), values)
