"""The gRPC server: it runs in the event loop of the HTTP server, beside it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import unquote

import grpc
import structlog
from fastapi import HTTPException
from google.protobuf.json_format import Error as JsonError
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection
from starlette.concurrency import run_in_threadpool
from streamgauge.jobs.service.access import Caller
from streamgauge.jobs.service.api import Parts, allowed, news_of
from streamgauge.jobs.service.feed import Reset
from streamgauge.jobs.service.problems import problem_of
from streamgauge.jobs.service.rpc.streamgauge_pb2 import DESCRIPTOR
from streamgauge.jobs.service.rpc.verbs import VERBS, AskedChanges, Fields, Verb
from streamgauge.models.errors import InputError

SERVICE = DESCRIPTOR.services_by_name["Streamgauge"]
LARGEST_REQUEST = 64 * 1024  # bytes, as over HTTP
MOST_DETAILS = 500  # characters of an error: they are sent in a header, which gRPC limits to 8 kB
GRACE = 1.0  # seconds that calls get to end when the service stops; streams do not end by themselves
LOOK_EVERY = 0.5  # seconds between two looks whether the service is ready
OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_REQUEST),
    ("grpc.so_reuseport", 0),  # or two services would share a port without a word
    ("grpc.keepalive_time_ms", 60_000),  # so that streams end whose client has vanished
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # clients of quiet streams ask whether the service lives
)
CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.OUT_OF_RANGE,
    500: grpc.StatusCode.INTERNAL,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
ANOTHER_HISTORY = (
    "no change has a number as large as that of the last one: the history is another one, such as one from a backup; "
    "ask for the incidents anew, and for changes after {}"
)
_log = structlog.get_logger()


@contextlib.asynccontextmanager
async def serving(parts: Parts, is_ready: Callable[[], bool]) -> AsyncIterator[None]:
    """Answer over gRPC until the context ends.

    Parameters
    ----------
    parts : Parts
    is_ready : callable
        Whether the history is up to date; the health service says so.

    Raises
    ------
    InputError
        The port cannot be used.
    """
    host, port = parts.settings.service.host, parts.settings.service.grpc_port
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers([_handlers(parts)])
    told = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(told, server)
    reflection.enable_server_reflection((SERVICE.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    try:
        server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except RuntimeError as error:
        raise InputError(f"cannot listen on service.host {host}, service.grpc_port {port}") from error
    await server.start()
    following = asyncio.create_task(_follow(told, is_ready))
    try:
        yield
    finally:
        following.cancel()
        await told.enter_graceful_shutdown()
        await server.stop(GRACE)


async def _follow(told: health.aio.HealthServicer, is_ready: Callable[[], bool]) -> None:
    """Let the health service say what `/readyz` says."""
    before = None
    while True:
        now = is_ready()
        if now != before:
            status = HealthCheckResponse.SERVING if now else HealthCheckResponse.NOT_SERVING
            for name in (health.OVERALL_HEALTH, SERVICE.full_name):
                await told.set(name, status)
            before = now
        await asyncio.sleep(LOOK_EVERY)


def _handlers(parts: Parts) -> grpc.GenericRpcHandler:
    """The methods of the .proto. Each is one of `VERBS`, or the stream."""
    methods = {}
    for method in SERVICE.methods:
        request, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        codec = {"request_deserializer": request.FromString, "response_serializer": answer.SerializeToString}
        if method.server_streaming:
            methods[method.name] = grpc.unary_stream_rpc_method_handler(_stream(parts, answer), **codec)
        else:
            methods[method.name] = grpc.unary_unary_rpc_method_handler(
                _call(parts, VERBS[method.name], answer), **codec
            )
    return grpc.method_handlers_generic_handler(SERVICE.full_name, methods)


def _call(parts: Parts, verb: Verb, answer: type[Message]) -> Callable[..., Any]:
    """A method with one answer. The work is done in a thread, because it waits for the database and for Kafka."""

    def work(request: Message, context: grpc.aio.ServicerContext) -> Message:
        return _message(verb.answer(parts, _fields(request), _caller(parts, context, verb.scope, verb.limits)), answer)

    async def call(request: Message, context: grpc.aio.ServicerContext) -> Message:
        async with _errors_as_status(context):
            return await run_in_threadpool(work, request, context)

    return call


def _stream(parts: Parts, answer: type[Message]) -> Callable[..., AsyncIterator[Message]]:
    """The method that streams changes."""

    async def stream(request: Message, context: grpc.aio.ServicerContext) -> AsyncIterator[Message]:
        async with _errors_as_status(context):
            await run_in_threadpool(_caller, parts, context, "read", ("requests",))
            after = AskedChanges.model_validate(_fields(request)).after
            number = await parts.feed.newest() if after is None else after
            await context.send_initial_metadata(())  # so the client knows from when on it misses nothing
            async for change in parts.feed.after(number, lambda: _caller(parts, context, "read", ())):
                if isinstance(change, Reset):
                    raise HTTPException(409, ANOTHER_HISTORY.format(change.number))
                yield _message(news_of(change), answer)

    return stream


def _caller(parts: Parts, context: grpc.aio.ServicerContext, scope: str, limits: tuple[str, ...]) -> Caller:
    """Who sent a call; it counts, as over HTTP. No check of the host is needed: the scripts of a browser cannot speak gRPC."""
    authorization = str(dict(context.invocation_metadata() or ()).get("authorization", ""))
    caller: Caller | None = None
    try:
        caller = parts.holder(authorization)
    finally:  # who shows what lets nobody in counts, too
        for kind in limits:
            parts.count(kind, caller, address_of(context.peer()))
    return allowed(caller, scope)


def address_of(peer: str) -> str:
    """Address of a peer as gRPC writes it, such as ``ipv4:127.0.0.1:50000`` or ``ipv6:%5B::1%5D:50000``."""
    return unquote(peer.partition(":")[2].rpartition(":")[0]).strip("[]") or "unknown"


@contextlib.asynccontextmanager
async def _errors_as_status(context: grpc.aio.ServicerContext) -> AsyncIterator[None]:
    """Context in which an error ends the call with a code of gRPC, and the sentence that HTTP has."""
    try:
        yield
    except Exception as error:  # gRPC would tell the client the text of an error that nobody expects
        await _abort(context, error)


async def _abort(context: grpc.aio.ServicerContext, error: Exception) -> None:
    try:
        status, sentence = problem_of(error)
    except Exception:
        _log.exception("a call of gRPC failed")
        await context.abort(grpc.StatusCode.INTERNAL, "the service failed; its log says why")
    else:
        await context.abort(CODES.get(status, grpc.StatusCode.UNKNOWN), sentence[:MOST_DETAILS])


def _fields(request: Message) -> Fields:
    """Fields of a request that are set, as JSON has them.

    Raises
    ------
    InputError
        A time is beyond the year 9999.
    """
    try:
        fields: Fields = MessageToDict(request, preserving_proto_field_name=True)
    except JsonError as error:
        raise InputError(f"a time is out of range: {error}") from error
    return fields


def _message(fields: Fields, answer: type[Message]) -> Message:
    """An answer with these fields; a test holds the fields of the .proto to those of HTTP.

    Raises
    ------
    HTTPException
        The data of an alert do not fit: gRPC has a limit of nesting, and no integers of any size.
    """
    try:
        made = ParseDict(fields, answer(), ignore_unknown_fields=True)
        return answer.FromString(made.SerializeToString())  # as the client will read it
    except (JsonError, DecodeError, ValueError, OverflowError) as error:
        raise HTTPException(500, f"the answer does not fit into a message of gRPC, but HTTP has it: {error}") from error
