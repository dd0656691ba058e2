"""A real proxy in front of a server: it speaks TLS, and lets in only requests with the right token."""

from __future__ import annotations

import re
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.integration.certificates import Authority, KeyFiles

REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@contextmanager
def tls_proxy(upstream: str, token: str, server: KeyFiles, clients: Authority | None = None) -> Iterator[str]:
    """Address of a proxy for `upstream` (HOST:PORT).

    Parameters
    ----------
    upstream : str
    token : str
        The first request of each connection must bring it.
    server : KeyFiles
        Its own certificate.
    clients : Authority, optional
        If given, clients need a certificate of it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.cert, server.key)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients.ca)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            wrapped = context.wrap_socket(self.request, server_side=True, do_handshake_on_connect=False)
            with suppress(OSError), wrapped as client:
                client.do_handshake()
                head = b""
                while b"\r\n\r\n" not in head and (part := client.recv(65_536)):
                    head += part
                found = re.search(rb"(?im)^authorization:\s*Bearer (\S+)\r$", head)
                if found is None or found[1].decode() != token:
                    client.sendall(REFUSED)
                    return
                host, _, port = upstream.rpartition(":")
                with socket.create_connection((host, int(port))) as behind:
                    behind.sendall(head)
                    back = threading.Thread(target=_pump, args=(behind, client), daemon=True)
                    back.start()
                    _pump(client, behind)
                    back.join(30)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"127.0.0.1:{proxy.server_address[1]}"
        finally:
            proxy.shutdown()
            thread.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on all bytes until the source ends."""
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
