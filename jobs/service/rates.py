"""How many requests each caller sends: counted here, or in Redis for several services together."""

from __future__ import annotations

import math
import time

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis.exceptions import RedisError
from streamgauge.jobs.service.shared import Shared
from streamgauge.jobs.settings.service import LimitSettings


class Rates:
    """Counts requests against the limits of the settings.

    Parameters
    ----------
    settings : LimitSettings
    shared : Shared, optional
        Where several services count together. While it is away, each counts for itself.
    """

    def __init__(self, settings: LimitSettings, shared: Shared | None) -> None:
        given = settings.model_dump()
        self._limits = {kind: parse(rate) for kind, rate in given.items() if rate is not None}
        self._here = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = shared
        if shared is not None:
            pool = shared.client.connection_pool
            together = RedisStorage("redis://", connection_pool=pool, key_prefix="streamgauge:requests")
            self._together = SlidingWindowCounterRateLimiter(together)

    def wait(self, kind: str, who: str) -> int | None:
        """Count a request.

        Parameters
        ----------
        kind : str
            Key of the limit in the settings.
        who : str
            Whose request it is.

        Returns
        -------
        int or None
            Seconds to wait, if there were too many; the request does not count then.
        """
        limit = self._limits.get(kind)
        if limit is None:
            return None
        if self._shared is not None and self._shared.connected:
            try:
                return _count(self._together, limit, kind, who)
            except RedisError as error:
                self._shared.lost(error)
        return _count(self._here, limit, kind, who)


def _count(counter: SlidingWindowCounterRateLimiter, limit: RateLimitItem, kind: str, who: str) -> int | None:
    if counter.hit(limit, kind, who):
        return None
    return max(1, math.ceil(counter.get_window_stats(limit, kind, who).reset_time - time.time()))
