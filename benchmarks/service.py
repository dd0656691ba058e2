"""How much the service takes: changes and scores a second into the history, lists of a long history, and pages told of an incident.

The history is a new one: by default in a file of SQLite, else in an empty database that `--database` names. Kafka is not needed: records
are written as the service writes what it has read.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import uvicorn
from sqlalchemy import Engine
from streamgauge.jobs.service.app import application
from streamgauge.jobs.service.database import connect, migrate
from streamgauge.jobs.service.history import History
from streamgauge.jobs.service.queries import Filter, Queries
from streamgauge.jobs.settings.kafka import TopicSettings
from streamgauge.jobs.settings.loading import validated
from streamgauge.models.errors import InputError
from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.incidents.kinds import SEVERITIES

from benchmarks.common import finish, say
from tests.jobs.service.made import START, change, records, score

STATES = ("opened", "updated", "resolved")
MOST = 2_000  # records that the service takes from Kafka at a time
SCORES = 20_000  # of a run
ENTITIES = 20_000
LOOKS = 50  # of each list
WAIT = 60.0  # seconds for all pages


def message(incident: int, state: str) -> dict[str, Any]:
    """A change of an incident, as the job writes it."""
    opened = rfc3339(START + 1_000 * incident)
    names = {"entity": f"entity-{incident % ENTITIES}", "severity": SEVERITIES[incident % 7 % 4]}
    window = {"from": opened, "to": opened, "anomalous_events": 1}
    return change(f"{incident:024x}", state, **names, window=window) | {"time": opened}


class Writer:
    """Writes changes into the history, in batches as the service takes them from Kafka.

    Parameters
    ----------
    history : History
    """

    def __init__(self, history: History) -> None:
        self._history, self._offset = history, 0

    def write(self, messages: Iterator[dict[str, Any]]) -> tuple[int, float]:
        """Number of changes, and the seconds that writing them took."""
        written, seconds = 0, 0.0
        while values := [value for _, value in zip(range(MOST), messages, strict=False)]:
            at = self._offset
            batch = records(*values, begin=at)
            began = time.perf_counter()
            written += self._history.write(batch, {("alerts", 0): at})
            seconds += time.perf_counter() - began
            self._offset += len(values)
        return written, seconds


def spread(found: list[float]) -> dict[str, float]:
    """The least, the median and the most of several runs."""
    return {"min": min(found), "median": median(found), "max": max(found)}


def rates(writer: Writer, runs: int, incidents: int) -> tuple[list[float], int]:
    """Changes a second of several runs, and the number of incidents written."""
    found = []
    for run in range(runs):
        part = range(run * incidents, (run + 1) * incidents)
        written, seconds = writer.write(message(n, state) for state in STATES for n in part)
        found.append(written / seconds)
        say(f"run {run}: {found[-1]:,.0f} changes/s")
    return found, runs * incidents


def score_rates(history: History, runs: int) -> list[float]:
    """Scores a second of several runs; they arrive now, because older ones are not kept."""
    found, arrived = [], int(time.time() * 1000)
    for first in range(0, runs * SCORES, SCORES):
        seconds = 0.0
        for begin in range(first, first + SCORES, MOST):
            values = [score(n, f"entity-{n % ENTITIES}", START + n) for n in range(begin, begin + MOST)]
            batch = [replace(one, timestamp=arrived) for one in records(*values, begin=begin, topic="scores")]
            began = time.perf_counter()
            history.write(batch, {("scores", 0): begin})
            seconds += time.perf_counter() - began
        found.append(SCORES / seconds)
        say(f"{found[-1]:,.0f} scores/s")
    return found


def lists(queries: Queries) -> dict[str, dict[str, float]]:
    """Milliseconds of lists: median, and what 95 % of the looks do not exceed."""
    asked: dict[str, Callable[[], Any]] = {
        "newest 100": lambda: queries.incidents(Filter(), 100),
        "open ones, worst first": lambda: queries.incidents(Filter("open"), 200, worst_first=True),
        "of one entity": lambda: queries.incidents(Filter(entity="entity-7"), 100),
        "of at least high": lambda: queries.incidents(Filter(severity="high"), 100),
        "one with its changes": lambda: queries.incident(f"{7:024x}"),
    }
    found = {}
    for name, look in asked.items():
        look()
        times = []
        for _ in range(LOOKS):
            began = time.perf_counter()
            look()
            times.append(1_000 * (time.perf_counter() - began))
        found[name] = {"p50": round(median(times), 2), "p95": round(quantiles(times, n=20)[-1], 2)}
        say(f"{name}: {found[name]} ms")
    return found


async def pages(engine: Engine, writer: Writer, count: int, incident: int) -> list[float]:
    """Seconds from the writing of an incident until each of many open streams has it."""
    app = application(validated({"kafka": {"bootstrap": "127.0.0.1:1"}}, "benchmark"), engine)
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None, access_log=False))
    feed = asyncio.create_task(app.state.parts.feed.run())
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    told: list[float] = []

    async def listen(opened: asyncio.Semaphore) -> None:
        reader, sender = await asyncio.open_connection("127.0.0.1", port)
        sender.write(b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        opened.release()
        await reader.readuntil(b"data:")
        told.append(time.perf_counter())
        sender.close()

    opened = asyncio.Semaphore(0)
    listening = [asyncio.create_task(listen(opened)) for _ in range(count)]
    for _ in range(count):
        await asyncio.wait_for(opened.acquire(), WAIT)
    while app.state.parts.feed.listeners < count:
        await asyncio.sleep(0.05)
    await asyncio.to_thread(writer.write, iter([message(incident, "opened")]))
    began = time.perf_counter()
    await asyncio.wait_for(asyncio.gather(*listening), WAIT)
    feed.cancel()
    server.should_exit = True
    await serving
    return [moment - began for moment in told]


def main() -> None:
    """Run the benchmark, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=__doc__.splitlines()[0])
    parser.add_argument("--database", help="URL of an empty database (default: a new file of SQLite)")
    parser.add_argument(
        "--incidents", type=int, default=1_000_000, help="incidents in the long history (default: 1000000)"
    )
    parser.add_argument("--runs", type=int, default=5, help="runs of writing 30,000 changes (default: 5)")
    parser.add_argument("--pages", type=int, default=500, help="open pages (default: 500)")
    chosen = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # an open page takes two files
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(chosen.database, Path(folder))
        migrate(engine)
        if Queries(engine).last_change():
            raise InputError("--database names a history with incidents; the benchmark needs an empty one")
        history = History(engine, TopicSettings())
        writer = Writer(history)
        found, begun = rates(writer, chosen.runs, 10_000)
        say(f"writing {chosen.incidents:,} incidents")
        writer.write(message(n, "resolved" if n % 100 else "opened") for n in range(begun, chosen.incidents))
        figures = {
            "database": engine.dialect.name,
            "changes_per_s": spread(found),
            "scores_per_s": spread(score_rates(history, chosen.runs)),
            "incidents": chosen.incidents,
            "lists_ms": lists(Queries(engine)),
        }
        waited = asyncio.run(pages(engine, writer, chosen.pages, chosen.incidents))
        figures["pages"] = {"open": len(waited), "median_s": median(waited), "last_s": max(waited)}
        say(f"{len(waited)} open pages: {median(waited):.2f} s, the last {max(waited):.2f} s")
        engine.dispose()
    finish(figures)


if __name__ == "__main__":
    main()
