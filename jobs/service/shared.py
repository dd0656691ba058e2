"""The link between several services: Redis. It only counts requests and says "look now"; the database has all data.

While Redis is away, each service goes on by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from redis import ConnectionPool, Redis
from redis.client import PubSub
from redis.exceptions import RedisError
from streamgauge.models.errors import SettingsError

CHANNEL = "streamgauge:changes"
ANSWER = 1.0  # seconds for an answer of Redis, before it counts as away
LOOK = 0.5  # seconds between two looks at whether the service stops
QUIET = 5.0  # seconds without a message after which Redis is asked whether it is there
FIRST_WAIT, LONGEST_WAIT = 0.5, 5.0  # seconds between two tries to reach Redis; each is twice the one before
_log = structlog.get_logger()


class Shared:
    """A connection to Redis that comes back by itself.

    Parameters
    ----------
    url : str
        ``redis://:password@host:port/number``, or ``rediss://`` with TLS.
    look : callable
        Called, by another thread, when a service has written changes.

    Attributes
    ----------
    client : Redis
        Use it only while `connected`, and call `lost` when it fails.
    connected : bool

    Raises
    ------
    SettingsError
        The URL is of another kind. The message does not show it, because it may hold a password.
    """

    def __init__(self, url: str, look: Callable[[], None]) -> None:
        try:
            if not url.startswith(("redis://", "rediss://")):
                raise ValueError
            pool = ConnectionPool.from_url(url, socket_timeout=ANSWER, socket_connect_timeout=ANSWER)
        except ValueError as error:
            raise SettingsError(
                "service.redis: allowed is redis://:PASSWORD@HOST:PORT/NUMBER or rediss:// (is hidden)"
            ) from error
        self.client, self.connected = Redis(connection_pool=pool), False
        self._look, self._told = look, False
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run, name="redis", daemon=True)

    def start(self) -> None:
        """Connect, and listen for changes."""
        self._thread.start()

    def stop(self) -> None:
        """Close the connections."""
        self._stop.set()
        self._thread.join(30)
        self.client.connection_pool.disconnect()

    def tell(self) -> None:
        """Tell all services, this one too, that there are changes in the database."""
        if self.connected:
            try:
                self.client.publish(CHANNEL, b"")
                return
            except RedisError as error:
                self.lost(error)
        self._look()

    def lost(self, error: Exception) -> None:
        """Note that Redis did not answer. Each absence is logged once."""
        with self._lock:
            self.connected, first, self._told = False, not self._told, True
        if first:
            _log.warning("Redis is away: this service counts requests by itself", why=str(error))

    def _run(self) -> None:
        wait = FIRST_WAIT
        while not self._stop.is_set():
            try:
                with self.client.pubsub(ignore_subscribe_messages=True) as messages:
                    messages.subscribe(CHANNEL)
                    self._found()
                    wait = FIRST_WAIT
                    self._listen(messages)
            except (RedisError, OSError) as error:
                self.lost(error)
            self._stop.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _found(self) -> None:
        self.client.ping()
        with self._lock:
            self.connected, again, self._told = True, self._told, False
        if again:
            _log.info("Redis answers again")
        self._look()

    def _listen(self, messages: PubSub) -> None:
        """Hand on what other services say, until Redis is away or the service stops."""
        quiet = 0.0
        while self.connected and not self._stop.is_set():
            if messages.get_message(timeout=LOOK) is not None:
                quiet = 0.0
                self._look()
            elif (quiet := quiet + LOOK) >= QUIET:
                quiet = 0.0
                self.client.ping()
