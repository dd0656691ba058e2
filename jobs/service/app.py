"""The service as one application: API, page, health and metrics, with what every answer needs."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from streamgauge.jobs.service import api, page, score, sign_in
from streamgauge.jobs.service.access import Access
from streamgauge.jobs.service.api import Parts
from streamgauge.jobs.service.deliveries import Deliveries
from streamgauge.jobs.service.examples import EXAMPLES
from streamgauge.jobs.service.explanations import Explanations
from streamgauge.jobs.service.feed import Feed
from streamgauge.jobs.service.intake import Intake, Status
from streamgauge.jobs.service.oidc import Oidc
from streamgauge.jobs.service.problems import problem_of
from streamgauge.jobs.service.queries import Queries
from streamgauge.jobs.service.rates import Rates
from streamgauge.jobs.service.shared import Shared
from streamgauge.jobs.service.targets import targets_of
from streamgauge.jobs.service.traces import Traces
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import ClusterError, InputError

if TYPE_CHECKING:
    from streamgauge.jobs.service.scoring import Scoring

LARGEST_BODY = 64 * 1024  # bytes
LOCAL = ("127.0.0.1", "::1", "localhost")
OTHER_SITES = ("cross-site", "same-site")  # as browsers say; a site may be another service of this machine
METHODS = ("GET", "HEAD", "POST")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def application(settings: Settings, engine: Engine) -> FastAPI:
    """The service.

    Parameters
    ----------
    settings : Settings
    engine : Engine
        Its tables are up to date.

    Raises
    ------
    InputError
        The service would listen for other machines, and there is no token; or a webhook has no secret.
    """
    given = settings.service.oidc
    oidc, issuer = (None, None) if given is None else (Oidc(given, settings.service.address), given.issuer)
    access, queries = Access(engine, issuer), Queries(engine)
    if settings.service.token is not None:
        access.make_first(settings.service.token.get_secret_value())
    protected = access.any_token() or oidc is not None
    local = settings.service.host in LOCAL
    if not local and not protected:
        raise InputError(
            f"service.host is {settings.service.host}: make a token first (`streamgauge token create NAME`, or service.token), "
            "or anybody could read and judge. Without a token, only 127.0.0.1 is allowed"
        )
    feed, redis, scoring = Feed(queries), settings.service.redis, _scoring(settings)
    shared = None if redis is None else Shared(redis.get_secret_value(), feed.look)
    traces = Traces(settings.service.traces)
    intake = Intake(settings, engine, feed.look if shared is None else shared.tell, traces.tracer)
    rates = Rates(settings.service.limits, shared)
    explanations = None if scoring is None else Explanations(settings)
    parts = Parts(settings, queries, access, intake, feed, rates, oidc, not protected, scoring, explanations)
    registry = CollectorRegistry()
    deliveries = Deliveries(targets_of(settings.service), engine, lambda: intake.status.caught_up is not None, registry)
    possible = (intake, scoring, explanations, shared)
    workers: list[Intake | Scoring | Explanations | Shared] = [one for one in possible if one is not None]

    @contextlib.asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        async with _grpc_server(parts):
            for worker in workers:
                worker.start()
            looking = asyncio.create_task(feed.run())
            async with deliveries.running():
                yield
            looking.cancel()
        for worker in workers:
            await run_in_threadpool(worker.stop)
        await run_in_threadpool(traces.stop)

    app = FastAPI(
        title="Streamgauge",
        version="1",
        lifespan=running,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    _guard(app, only_local=local and not protected)
    _explain(app)
    app.state.parts = parts
    app.include_router(api.router)
    app.include_router(score.router)
    app.include_router(page.router)
    app.include_router(sign_in.router)
    folder = str(files("streamgauge.jobs.service") / "static")
    app.mount(
        "/static", StaticFiles(directory=folder, follow_symlink=True)
    )  # an editable installation is made of links
    _observe(app, parts, shared, registry)
    traces.watch(app)
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with examples. FastAPI takes every answer for plain JSON; errors are problem details."""
    if app.openapi_schema is None:
        described = FastAPI.openapi(app)
        for name, example in EXAMPLES.items():
            described["components"]["schemas"][name]["examples"] = [example]
        for operation in (operation for path in described["paths"].values() for operation in path.values()):
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    answer["content"] = {"application/problem+json": answer["content"]["application/json"]}
    return app.openapi_schema or {}


def _scoring(settings: Settings) -> Scoring | None:
    """The pipeline within the service, if the settings ask for it."""
    if not settings.service.score:
        return None
    try:
        from streamgauge.jobs.service.scoring import Scoring  # noqa: PLC0415 - numerical libraries, only where needed
    except ImportError as error:
        raise InputError(
            f"service.score is true, and needs more packages ({error.name}): pip install streamgauge"
        ) from error
    return Scoring(settings)


def _grpc_server(parts: Parts) -> contextlib.AbstractAsyncContextManager[None]:
    """The gRPC server, if there is a port for it."""
    if parts.settings.service.grpc_port is None:
        return contextlib.nullcontext()
    from streamgauge.jobs.service.rpc.server import serving  # noqa: PLC0415 - gRPC is loaded only where it is used

    return serving(parts, lambda: ready(parts.intake.status) is None)


def _guard(app: FastAPI, only_local: bool) -> None:
    """Headers of every answer, the limit of bodies, and a check that no other site sends a form; without tokens, one of the host, too."""

    @app.middleware("http")
    async def guard(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        host = re.sub(r":\d*$", "", request.headers.get("host", ""))
        length = request.headers.get("content-length", "0")
        if only_local and host.strip("[]") not in LOCAL:
            return _problem(
                400, f"the host {host!r} is not this machine: without a token, only {', '.join(LOCAL)} work"
            )
        if request.method == "POST" and request.headers.get("sec-fetch-site") in OTHER_SITES:
            return _problem(403, "this comes from a page of another site: only pages of this service may send it")
        parts = "transfer-encoding" in request.headers  # then no header says how long the body is
        if request.method == "POST" and (parts or not length.isdigit() or int(length) > LARGEST_BODY):
            return _problem(413, f"a body may have {LARGEST_BODY} bytes, and must say its length")
        response = await go_on(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def _explain(app: FastAPI) -> None:
    """Errors as problem details (RFC 9457), or as a page for a browser that asks for one."""

    @app.exception_handler(HTTPException)  # that of Starlette: it is also raised for bodies and methods
    async def known(request: Request, error: HTTPException) -> Response:
        if error.status_code in (303, 304):
            return Response(status_code=error.status_code, headers=error.headers)
        return _told(request, error.status_code, str(error.detail), error.headers)

    @app.exception_handler(404)
    async def nowhere(request: Request, error: Any) -> Response:
        detail = getattr(error, "detail", "")
        nothing = f"there is nothing at {request.url.path}"
        return _told(request, 404, detail if detail not in ("", "Not Found") else nothing)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        wrong = error.errors()[0]
        return _told(request, 422, f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}")

    @app.exception_handler(InputError)
    @app.exception_handler(ClusterError)
    @app.exception_handler(SQLAlchemyError)
    async def failed(request: Request, error: InputError | ClusterError | SQLAlchemyError) -> Response:
        return _told(request, *problem_of(error))

    @app.exception_handler(Exception)  # the server writes the error to its log after this answer
    async def unexpected(request: Request, _: Exception) -> Response:
        return _told(request, 500, "the service failed; its log says why", HEADERS)


def _told(request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """What went wrong, as a page where a browser shows one, else as problem details."""
    if "text/html" not in request.headers.get("accept", "") or request.url.path.startswith("/v1/"):
        return _problem(status, detail, headers)
    answer = page.problem_page(HTTPStatus(status).phrase, detail, status)
    answer.headers.update(headers or {})
    return answer


def _problem(status: int, detail: str, more: Mapping[str, str] | None = None) -> JSONResponse:
    headers = dict(more or {}) | ({"WWW-Authenticate": "Bearer"} if status == 401 else {})
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def ready(status: Status) -> str | None:
    """Why the service is not ready; None if it is."""
    if status.problem is not None:
        return status.problem
    if status.late:
        return f"{status.behind} records are still to be read"
    return None


class _Totals(Collector):
    """What the service has counted since its start, for Prometheus."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        for name, text in (
            ("records", "Records read since the start."),
            ("changes", "Changes of incidents written since the start."),
            ("failures", "Times that reading or writing failed since the start."),
        ):
            yield CounterMetricFamily(f"streamgauge_service_{name}", text, getattr(self._status, name))


def _observe(app: FastAPI, parts: Parts, shared: Shared | None, registry: CollectorRegistry) -> None:
    """Health, readiness, and metrics for Prometheus."""
    status = parts.intake.status
    for name, text, value in (
        ("behind_records", "Records on the topics that were not read yet.", lambda: status.behind),
        ("stream_listeners", "Open streams of server-sent events.", lambda: parts.feed.listeners),
        ("ready", "1 if all records are read, else 0.", lambda: float(ready(status) is None)),
    ):
        Gauge(f"streamgauge_service_{name}", text, registry=registry).set_function(value)
    registry.register(_Totals(status))
    if shared is not None:
        gauge = Gauge("streamgauge_service_redis", "1 if Redis answers, else 0.", registry=registry)
        gauge.set_function(lambda: float(shared.connected))
    requests = Counter("streamgauge_service_requests", "Requests.", ["method", "route", "status"], registry=registry)
    seconds = Histogram("streamgauge_service_seconds", "Time of requests.", ["route"], registry=registry)

    @app.middleware("http")
    async def measure(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        began = time.perf_counter()
        status = 500  # of what nobody expected: its answer is made outside of this
        try:
            response = await go_on(request)
            status = response.status_code
            return response
        finally:
            route = getattr(request.scope.get("route"), "path", "other")
            method = request.method if request.method in METHODS else "other"  # clients may send any
            requests.labels(method, route, status).inc()
            seconds.labels(route).observe(time.perf_counter() - began)

    # These need no thread: all threads may wait for a database that hangs, and that is when somebody asks.
    @app.get("/healthz", include_in_schema=False)
    async def alive() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", include_in_schema=False)
    async def is_ready() -> Response:
        why = ready(status)
        return JSONResponse({"status": "ready"}) if why is None else _problem(503, why)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")
