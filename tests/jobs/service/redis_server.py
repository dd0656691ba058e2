"""A real Redis that a test can kill and start again."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

PASSWORD = "secret-of-redis"


class RedisServer:
    """A Redis of its own on a free port, which keeps nothing.

    Attributes
    ----------
    url : str
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("redis-server") is None:
            raise RuntimeError("the program redis-server is needed: ./install.sh dev installs it")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._folder = folder
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self._port}/3"
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = {"port": str(self._port), "bind": "127.0.0.1", "dir": str(self._folder), "requirepass": PASSWORD}
        command = ["redis-server", "--save", "", *(word for name in options for word in (f"--{name}", options[name]))]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while True:
            try:
                with Redis.from_url(self.url) as client:
                    client.ping()
                return
            except RedisError:
                assert self._process.poll() is None, "redis-server ended"
                assert time.monotonic() < end, "redis-server does not answer"
                time.sleep(0.02)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


def wait_for(found, seconds=60.0):
    """Wait until `found` returns something true."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
