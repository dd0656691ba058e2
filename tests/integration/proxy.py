"""A TCP proxy between a job and its broker: it passes everything on, slows it down, or holds it back as a cut network does."""

from __future__ import annotations

import selectors
import socket
import threading
import time

CHUNK = 65_536


class Proxy:
    """Listens on a free port of this machine, and passes on to another one.

    Parameters
    ----------
    port : int
        Where connections lead.

    Attributes
    ----------
    address : str
    delay : float
        Seconds by which each piece of data comes later, in each direction.
    passes : threading.Event
        While it is not set, data are held back and connections stay open, as if the network were cut.
    """

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.delay = 0.0
        self.passes = threading.Event()
        self.passes.set()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._listening, selectors.EVENT_READ)
            while not self._over.is_set():
                if ready.select(0.2):
                    client, _ = self._listening.accept()
                    self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        """Pass on between a client and the broker until one of them closes."""
        with client, selectors.DefaultSelector() as ready:
            try:
                with socket.create_connection(self._to) as broker:
                    for source, sink in ((client, broker), (broker, client)):
                        source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        ready.register(source, selectors.EVENT_READ, sink)
                    while not self._over.is_set():
                        for key, _ in ready.select(0.2):
                            piece = key.fileobj.recv(CHUNK)  # type: ignore[union-attr]
                            if not piece:
                                return
                            self._hold_back()
                            key.data.sendall(piece)
            except OSError:
                return  # a client or the broker has gone

    def _hold_back(self) -> None:
        if self.delay:
            time.sleep(self.delay)
        while not self.passes.wait(0.2) and not self._over.is_set():
            pass

    def stop(self) -> None:
        """Close all connections."""
        self._over.set()
        for thread in self._threads:
            thread.join(10)
        self._listening.close()
