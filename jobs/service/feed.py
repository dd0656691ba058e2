"""Changes of incidents as they come, for all open pages and streams of one service."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from streamgauge.jobs.service.queries import Queries

EVERY = 0.25  # seconds between two looks into the database
KEPT = 2_000  # changes that a listener may be behind
CHECK = 5.0  # seconds between two looks whether a listener may still listen, and whether numbers began anew


@dataclass(frozen=True, slots=True)
class Reset:
    """Said to a listener that has seen a larger number than any change has: the history is another one, such as one from a backup.

    Attributes
    ----------
    number : int
        Of the newest change. Those with larger numbers follow.
    """

    number: int


class Feed:
    """Looks into the database for new changes, once for all listeners. So it sees what other services wrote, too.

    Parameters
    ----------
    queries : Queries
    """

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._recent: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._news = asyncio.Condition()
        self._last = self._resets = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._started = asyncio.Event()
        self.listeners = 0

    def look(self) -> None:
        """Look now, and not only at the next time; any thread may call it."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the service ends
                self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Look for changes until cancelled. A database that is away is waited for."""
        self._loop = asyncio.get_running_loop()
        checked = time.monotonic()
        while True:
            self._wake.clear()
            with contextlib.suppress(SQLAlchemyError):
                if not self._started.is_set():
                    self._last = await run_in_threadpool(self._queries.last_change)
                    self._started.set()
                found = await run_in_threadpool(self._queries.changes_after, self._last)
                if found:
                    async with self._news:
                        self._recent.extend(found)
                        self._last = found[-1]["number"]
                        self._news.notify_all()
                    continue
                if time.monotonic() - checked >= CHECK:
                    await self._look_for_reset()
                    checked = time.monotonic()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), EVERY)

    async def _look_for_reset(self) -> None:
        """Go on from the newest change where that has a smaller number: the database was restored, or the newest were removed."""
        newest = await run_in_threadpool(self._queries.last_change)
        if newest < self._last:
            async with self._news:
                self._recent.clear()
                self._last = newest
                self._resets += 1
                self._news.notify_all()

    async def newest(self) -> int:
        """Number of the newest change that was seen, once the database has answered."""
        await self._started.wait()
        return self._last

    async def after(self, number: int | None, check: Callable[[], object]) -> AsyncIterator[dict[str, Any] | Reset]:
        """Changes with a larger number, as they come. Where no change has a number as large, a `Reset` says so.

        Parameters
        ----------
        number : int, optional
            By default only changes from now on. What is no longer kept here is read from the database.
        check : callable
            Called in a thread every `CHECK` seconds. What it raises ends the changes. Errors of the database do not: while that is away,
            no changes come.
        """
        newest = await self.newest()
        last, checked, resets = newest if number is None else number, time.monotonic(), self._resets
        self.listeners += 1
        try:
            if last > newest and last > await run_in_threadpool(self._queries.last_change):
                last = self._last
                yield Reset(last)
            while True:
                if resets != self._resets:
                    last, resets = self._last, self._resets
                    yield Reset(last)
                upto = self._last
                if last < upto and (not self._recent or self._recent[0]["number"] > last + 1):
                    found = await run_in_threadpool(self._queries.changes_after, last)
                else:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(CHECK), self._news:
                            while self._last <= last and resets == self._resets:
                                await self._news.wait()
                    found = [change for change in self._recent if change["number"] > last]
                for change in found:
                    checked = await _checked(check, checked)
                    last = change["number"]
                    yield change
                if not found:
                    checked = await _checked(check, checked)
                    last = max(last, upto)  # these changes were removed with their incidents
        finally:
            self.listeners -= 1


async def _checked(check: Callable[[], object], before: float) -> float:
    """Check a listener, if that was done long before; returns when it was done last."""
    if time.monotonic() - before < CHECK:
        return before
    with contextlib.suppress(SQLAlchemyError):
        await run_in_threadpool(check)
    return time.monotonic()
