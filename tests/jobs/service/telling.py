"""Starts deliveries: within a test, and as a process that tests can kill (`python -m tests.jobs.service.telling DATABASE URL`)."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anyio.from_thread import start_blocking_portal
from prometheus_client import CollectorRegistry
from streamgauge.jobs.service.database import connect
from streamgauge.jobs.service.deliveries import Deliveries, Pace
from streamgauge.jobs.service.outbox import Lease, states
from streamgauge.jobs.service.targets import targets_of
from streamgauge.jobs.settings.service import ServiceSettings

SECRET = "whsec_" + "c3RyZWFtZ2F1Z2Ugc3RyZWFtZ2F1Z2Ugc3RyZWFtZ2E="
PATIENCE = 120.0  # seconds; nothing that is tested depends on it
QUICK = Pace(look=0.02, first_wait=0.02, longest_wait=0.1, repeat=0.2)
TAKING_OVER = Pace(look=0.02, answer=1.0, first_wait=0.02, longest_wait=0.1, lease=Lease(renew=0.2, lost=2.0))


def webhooks(**urls: str | dict[str, str]) -> ServiceSettings:
    """Settings with webhooks of these addresses."""
    each = {name: {"secret": SECRET} | ({"url": of} if isinstance(of, str) else of) for name, of in urls.items()}
    return ServiceSettings.model_validate({"webhooks": each})


@contextmanager
def telling(
    engine: Any, service: ServiceSettings, pace: Pace = QUICK, up_to_date: Callable[[], bool] = lambda: True
) -> Iterator[CollectorRegistry]:
    """Tell the targets of these settings; all of them have begun, if the history is up to date."""
    registry = CollectorRegistry()
    deliveries = Deliveries(targets_of(service), engine, up_to_date, registry, pace)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(deliveries.running()):
        if up_to_date():
            until(lambda: all(row["done"] is not None for row in states(engine, list(service.targets))))
        yield registry


def until(found: Callable[[], Any]) -> Any:
    """What `found` returns, as soon as it is true."""
    end = time.monotonic() + PATIENCE
    while not (result := found()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return result


async def _for_ever(database: str, url: str) -> None:
    deliveries = Deliveries(
        targets_of(webhooks(one=url)), connect(database, Path()), lambda: True, CollectorRegistry(), TAKING_OVER
    )
    async with deliveries.running():
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_for_ever(*sys.argv[1:]))
