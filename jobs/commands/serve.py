"""The commands about the service: run it, and say who may use it."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer
from rich.table import Table
from streamgauge.jobs.cluster.home import writable
from streamgauge.jobs.commands.options import AsJson, Home, SettingsFile
from streamgauge.jobs.commands.terminal import clear_errors, command_line, console, print_json, tell
from streamgauge.jobs.settings.loading import Settings, load
from streamgauge.models.errors import ClusterError, InputError
from streamgauge.udfs.events.time import rfc3339
from structlog.tracebacks import ExceptionDictTransformer

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from streamgauge.jobs.service.access import Access

app = command_line()


@app.command(epilog="Example: `streamgauge serve --port 8080`")
def serve(
    settings: SettingsFile = None,
    home: Home = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; by default service.host.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port; by default service.port.")] = None,
    as_json: AsJson = False,
) -> None:
    """Keep the history of alerts, and answer over HTTP: a page, and an API. Ctrl-C ends it."""
    with clear_errors():
        loaded = load(settings)
        given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
        loaded = loaded.model_copy(update={"service": loaded.service.model_copy(update=given)})
        _log_as_json(loaded.job.name)
        engine = _database(loaded, home)
        _run(loaded, engine, as_json)


token = command_line(
    help="Create, revoke and list the tokens that let people and programs use the service.", no_args_is_help=True
)
app.add_typer(token, name="token")


@token.command(epilog="Example: `streamgauge token create grafana --scope read --days 90`")
def create(
    name: Annotated[str, typer.Argument(help="Whose token it is.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may do: read, feedback, control; by default all.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=36_500, help="Days until it ends; by default never.")] = None,
    settings: SettingsFile = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a token, and show it this one time."""
    with clear_errors():
        made = _access(settings, home).make(name, scope, days)
    if as_json:
        print_json({"name": name, "token": made})
    else:
        sys.stdout.write(made + "\n")
        console.print("Keep it: it is not shown again. A running service asks for tokens after a restart.")


@token.command(epilog="Example: `streamgauge token revoke grafana`")
def revoke(
    name: Annotated[str, typer.Argument(help="Whose token it is.")],
    settings: SettingsFile = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """End a token at once."""
    with clear_errors():
        _access(settings, home).revoke(name)
    tell({"revoked": name}, as_json, f"the token {name!r} does not work any more")


@token.command("list", epilog="Example: `streamgauge token list --json`")
def list_tokens(settings: SettingsFile = None, home: Home = None, as_json: AsJson = False) -> None:
    """Show all tokens, but not the secrets."""
    with clear_errors():
        found = _access(settings, home).all_tokens()
    if as_json:
        print_json(found)
        return
    table = Table()
    for column in ("name", "scopes", "made", "expires"):
        table.add_column(column)
    for one in found:
        table.add_row(one["name"], one["scopes"], _day(one["made"]), _day(one["expires"]))
    console.print(table)


def _day(milliseconds: int | None) -> str:
    return "never" if milliseconds is None else rfc3339(milliseconds)[:10]


def _database(settings: Settings, home: Path | None) -> Engine:
    """The database, with its tables up to date."""
    try:
        from streamgauge.jobs.service.database import connect, migrate  # noqa: PLC0415 - needs the extra serve
    except ImportError as error:
        raise InputError(f"the service needs more packages ({error.name}): pip install 'streamgauge[serve]'") from error
    url = settings.service.database
    engine = connect(None if url is None else url.get_secret_value(), writable(home))
    migrate(engine)
    return engine


def _access(settings: Path | None, home: Path | None) -> Access:
    database = _database(load(settings), home)
    from streamgauge.jobs.service.access import Access  # noqa: PLC0415 - needs the extra serve

    return Access(database)


def _run(settings: Settings, engine: Engine, as_json: bool) -> None:
    import uvicorn  # noqa: PLC0415 - needs the extra serve
    from streamgauge.jobs.service.app import application  # noqa: PLC0415 - needs the extra serve
    from streamgauge.jobs.service.database import shown  # noqa: PLC0415 - needs the extra serve

    app = application(settings, engine)
    listening = _listen(settings.service.host, settings.service.port)
    host, port = listening.getsockname()[:2]
    page, history = f"http://{host}:{port}", shown(engine)
    told, text = {"page": page, "history": history}, f"the page is at {page}, the history in {history}"
    if settings.service.grpc_port is not None:
        _listen(settings.service.host, settings.service.grpc_port, "grpc_port").close()  # gRPC opens it by itself
        told["grpc"] = f"{host}:{settings.service.grpc_port}"
        text += f", gRPC is at {told['grpc']}"
    tell(told, as_json, text)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    server.run([listening])
    if not server.started:
        raise ClusterError("the service did not start; the lines above say why")


def _listen(host: str, port: int, name: str = "port") -> socket.socket:
    """A socket that listens. So who reads the address afterwards can connect."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
        # asyncio does so for sockets that it makes itself only; without it, each answer on an open connection waits for 40 ms
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        others = "; --host and --port name others" if name == "port" else ""
        raise InputError(
            f"cannot listen on service.host {host}, service.{name} {port}: {error.strerror}{others}"
        ) from error


def _log_as_json(job: str) -> None:
    """Log one JSON object a line, on standard error. Each names the job."""
    log = structlog.processors
    errors = log.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))  # values may be secret

    def of_job(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {"job": job, **line}

    structlog.configure(
        processors=[of_job, log.add_log_level, log.TimeStamper("iso"), errors, log.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    kafka = logging.getLogger("kafka")  # the intake says itself what failed
    kafka.addHandler(logging.NullHandler())
    kafka.propagate = False
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # its lines show addresses, which may be secret
