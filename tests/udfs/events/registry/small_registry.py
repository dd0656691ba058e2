"""A small HTTP server that answers the two calls of a schema registry, and can be away, refuse, or fail."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

UNKNOWN = {"error_code": 40403, "message": "Schema not found"}


class SmallRegistry:
    """What the server has, and what it was asked.

    Attributes
    ----------
    url : str
    answers : dict
        JSON by path.
    authorization : str or None
        The header that each request must have.
    failures : list of int
        Status codes of the next answers, instead of good ones.
    asked : list of str
        Paths of all requests so far.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, Any] = {}
        self.authorization: str | None = None
        self.failures: list[int] = []
        self.asked: list[str] = []

    def add(self, number: int, schema: Any, kind: str = "AVRO", references: Any = ()) -> None:
        """Register a schema under an id. References are pairs of a name and a subject; all have version 1."""
        self.answers[f"/schemas/ids/{number}"] = answer(schema, kind, references)

    def add_subject(self, subject: str, schema: Any, kind: str = "AVRO", references: Any = ()) -> None:
        """Register a schema that others refer to."""
        self.answers[f"/subjects/{subject}/versions/1"] = answer(schema, kind, references)


def answer(schema: Any, kind: str, references: Any) -> dict[str, Any]:
    """An answer of a registry. For Avro it names no kind."""
    values: dict[str, Any] = {"schema": schema if isinstance(schema, str) else json.dumps(schema)}
    if kind != "AVRO":
        values["schemaType"] = kind
    if references:
        values["references"] = [{"name": name, "subject": subject, "version": 1} for name, subject in references]
    return values


@contextmanager
def small_registry(certificate: tuple[str, str] | None = None) -> Iterator[SmallRegistry]:
    """A server on a free port; with TLS if there are files with its certificate and key."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            registry.asked.append(self.path)
            if registry.failures:
                status, body = registry.failures.pop(0), {}
            elif registry.authorization not in (None, self.headers["Authorization"]):
                status, body = 401, {"error_code": 401}
            elif self.path in registry.answers:
                status, body = 200, registry.answers[self.path]
            else:
                status, body = 404, UNKNOWN
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if status == 302:
                self.send_header("Location", f"{registry.url}/elsewhere")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that does not trust it hangs up
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    registry = SmallRegistry(f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
