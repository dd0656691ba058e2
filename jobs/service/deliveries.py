"""Tells others of incidents: a task for each target tells it every change, in order, and tries again for ever while it is away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import httpx2
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from streamgauge.jobs.service.database import reason
from streamgauge.jobs.service.history import OvertakenError
from streamgauge.jobs.service.outbox import Lease, Outbox
from streamgauge.jobs.service.targets import Alertmanager, Change, Message, Target

MOST = 100  # changes that are read at once, and open incidents in one request to an Alertmanager
LARGEST_ANSWER = 65_536  # bytes that are read, so that the connection can be used again
# Answers that say nothing about the contents: the address, a password or a proxy is wrong, or the target is busy.
AGAIN = (401, 404, 407, 408, 425, 429)
RESULTS = ("told", "refused", "failed")
_log = structlog.get_logger()


class AwayError(Exception):
    """The target cannot be told now."""


@dataclass(frozen=True)
class Pace:
    """How often things are done, in seconds.

    Attributes
    ----------
    look : float
        Time between two looks into the database.
    answer : float
        How long a target may take to answer a request.
    first_wait, longest_wait : float
        Time after a failure; each wait is twice the one before.
    repeat : float
        Time after which open incidents are told to an Alertmanager again.
    lease : Lease
    """

    look: float = 0.5
    answer: float = 15.0
    first_wait: float = 0.5
    longest_wait: float = 60.0
    repeat: float = 60.0
    lease: Lease = field(default_factory=Lease)


class Metrics:
    """What is counted of each target.

    Parameters
    ----------
    registry : CollectorRegistry
    targets : list of str
        Names, which are the only values of the label.
    """

    def __init__(self, registry: CollectorRegistry, targets: list[str]) -> None:
        text = "Requests to targets: told (accepted), refused (passed over), failed (tried again)."
        self._results = Counter("streamgauge_service_deliveries", text, ["target", "result"], registry=registry)
        text = "Changes of incidents that a target is still to be told."
        self._behind = Gauge("streamgauge_service_deliveries_behind_changes", text, ["target"], registry=registry)
        for target in targets:
            self._behind.labels(target)
            for result in RESULTS:
                self._results.labels(target, result)

    def count(self, target: str, result: str) -> None:
        """Count a request."""
        self._results.labels(target, result).inc()

    def behind(self, target: str, changes: int) -> None:
        """Note how many changes a target is still to be told."""
        self._behind.labels(target).set(changes)


@dataclass
class Teller:
    """Tells one target.

    Parameters
    ----------
    target : Target
    outbox : Outbox
    client : httpx2.AsyncClient
    metrics : Metrics
    pace : Pace
    stop : asyncio.Event
        Set when the service stops.
    """

    target: Target
    outbox: Outbox
    client: httpx2.AsyncClient
    metrics: Metrics
    pace: Pace
    stop: asyncio.Event

    def __post_init__(self) -> None:
        self._wait = self.pace.first_wait
        self._repeated: float | None = None

    async def run(self, up_to_date: Callable[[], bool]) -> None:
        """Tell changes until the service stops.

        Parameters
        ----------
        up_to_date : callable
            Whether all records were read once. A new target begins then, so that it is not told the past.
        """
        begun = False
        while not self.stop.is_set():
            try:
                if not begun:
                    begun = await run_in_threadpool(self._begin, up_to_date)
                if begun:
                    await self._round()
                await self._pause(self.pace.look)
            except OvertakenError:
                self._repeated = None
            except AwayError as error:
                await self._failed(str(error))
            except Exception as error:  # the task must not end: the other targets would end with it
                why = reason(error) if isinstance(error, SQLAlchemyError) else _place(error)
                _log.error("deliveries stopped for a time", target=self.target.name, why=why)
                await self._pause(self._longer())
        with contextlib.suppress(SQLAlchemyError):
            await run_in_threadpool(self.outbox.release)

    def _begin(self, up_to_date: Callable[[], bool]) -> bool:
        """Whether the target has begun, or begins now."""
        if not self.outbox.known():
            if not up_to_date():
                return False
            self.outbox.begin()
        return True

    async def _round(self) -> None:
        """Tell all that is to be told now, if no other service does."""
        while not self.stop.is_set():
            self.metrics.behind(self.target.name, await run_in_threadpool(self.outbox.behind))
            if not await run_in_threadpool(self.outbox.hold):
                self._repeated = None
                return
            await self._repeat()
            changes = await run_in_threadpool(self.outbox.pending, self.target.settings.severity, MOST)
            if not changes:
                self._wait = self.pace.first_wait
                return
            await self._tell(changes)

    async def _tell(self, changes: list[Change]) -> None:
        """Tell changes in order."""
        for change in changes:
            if self.stop.is_set() or not await run_in_threadpool(self.outbox.hold):
                return
            if self.target.wants(change):
                await self._tell_one(change)
            elif change is changes[-1]:
                await run_in_threadpool(self.outbox.done, change.number, False)

    async def _tell_one(self, change: Change) -> None:
        refusal = None
        try:
            message = self.target.message(change)
        except Exception as error:  # what cannot be written as a request will not be better later
            refusal = f"cannot be written as a request: {type(error).__name__}"
        else:
            status = await self._send(message)
            if status >= 300:
                refusal = f"HTTP {status}"
        if refusal is None:
            await run_in_threadpool(self.outbox.done, change.number, True)
            self.metrics.count(self.target.name, "told")
        else:
            await run_in_threadpool(self.outbox.refused, change, refusal)
            self.metrics.count(self.target.name, "refused")
            ids = {"id": change.event_id, "alert_id": change.alert_id}
            _log.error("a target refused a change", target=self.target.name, **ids, why=refusal)
        self._wait = self.pace.first_wait

    async def _repeat(self) -> None:
        """Tell an Alertmanager again what is open, when it is time."""
        now = time.monotonic()
        if not isinstance(self.target, Alertmanager):
            return
        if self._repeated is not None and now - self._repeated < self.pace.repeat:
            return
        severity, after = self.target.settings.severity, ""
        while still_open := await run_in_threadpool(self.outbox.open_incidents, severity, after, MOST):
            if self.stop.is_set() or not await run_in_threadpool(self.outbox.hold):
                return
            status = await self._send(self.target.repeat(still_open))
            if status >= 300:
                _log.warning("an Alertmanager refused what is open", target=self.target.name, why=f"HTTP {status}")
            after = still_open[-1].alert_id
        await run_in_threadpool(self.outbox.answers)
        self._repeated = now

    async def _send(self, message: Message) -> int:
        """Send a request; returns the status, which is of 2xx, or of 4xx if the contents are refused.

        Raises
        ------
        AwayError
            The target does not answer, or could accept the same contents later.
        """
        try:
            async with asyncio.timeout(self.pace.answer):
                sending = self.client.stream("POST", message.url, headers=message.headers, content=message.body)
                async with sending as answer:
                    await _read(answer.aiter_raw())
                    status = answer.status_code
        except TimeoutError as error:
            raise AwayError(f"no answer within {self.pace.answer:g} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise AwayError(_kind(error)) from error
        if 200 <= status < 300 or (400 <= status < 500 and status not in AGAIN):
            return status
        raise AwayError(f"HTTP {status}")

    async def _failed(self, problem: str) -> None:
        """Note why the target cannot be told, and wait; the lease is kept meanwhile."""
        wait = self._longer()
        self.metrics.count(self.target.name, "failed")
        _log.warning("a target cannot be told", target=self.target.name, why=problem, retry_seconds=wait)
        with contextlib.suppress(SQLAlchemyError):
            await run_in_threadpool(self.outbox.failed, problem)
        end = time.monotonic() + wait
        while (left := end - time.monotonic()) > 0 and not self.stop.is_set():
            await self._pause(min(left, self.pace.lease.renew))
            with contextlib.suppress(SQLAlchemyError):
                await run_in_threadpool(self.outbox.hold)

    def _longer(self) -> float:
        """The time to wait now; it is twice as long the next time."""
        wait = self._wait
        self._wait = min(2 * wait, self.pace.longest_wait)
        return wait

    async def _pause(self, seconds: float) -> None:
        """Wait, but not after the service stops."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds)


@dataclass
class Deliveries:
    """Tells all targets. One that is away does not hold up another.

    Parameters
    ----------
    targets : list of Target
    engine : Engine
    up_to_date : callable
        Whether all records were read once.
    registry : CollectorRegistry
        For the metrics.
    pace : Pace
    """

    targets: list[Target]
    engine: Engine
    up_to_date: Callable[[], bool]
    registry: CollectorRegistry
    pace: Pace = field(default_factory=Pace)

    def __post_init__(self) -> None:
        self._metrics = Metrics(self.registry, [target.name for target in self.targets])

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tell the targets for the time of a context. At its end, requests that were sent are waited for."""
        stop = asyncio.Event()
        timeout = httpx2.Timeout(self.pace.answer)
        async with httpx2.AsyncClient(timeout=timeout) as client, asyncio.TaskGroup() as tasks:
            for target in self.targets:
                outbox = Outbox(self.engine, target.name, self.pace.lease)
                teller = Teller(target, outbox, client, self._metrics, self.pace, stop)
                tasks.create_task(teller.run(self.up_to_date), name=f"deliveries to {target.name}")
            try:
                yield
            finally:
                stop.set()


async def _read(parts: AsyncIterator[bytes]) -> None:
    """Read an answer, unless it is large."""
    size = 0
    async for part in parts:
        size += len(part)
        if size > LARGEST_ANSWER:
            return


def _kind(error: BaseException) -> str:
    """What went wrong: the name of the error, and the system's reason. Texts of errors are left out, because they hold addresses."""
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and cause.errno):
        cause = cause.__cause__ or cause.__context__
    why = ""
    if isinstance(cause, ssl.SSLError | socket.gaierror):
        why = f": {cause.reason if isinstance(cause, ssl.SSLError) else cause.strerror}"
    elif isinstance(cause, OSError):
        why = f": {os.strerror(cause.errno or 0)}"
    return type(error).__name__ + why


def _place(error: Exception) -> str:
    """The name of an error, and where it was raised."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} in {last.name}, line {last.lineno}"
