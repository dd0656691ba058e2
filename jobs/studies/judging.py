"""What the studies on labelled streams share: segments, openings of incidents, and streams scored in several processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, TypeVar

import numpy as np
from streamgauge.jobs.studies.backtest import Backtest
from streamgauge.models.contract import Ints

Work = TypeVar("Work")
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Opening:
    """The opening of an incident, and how far the incident reached.

    Attributes
    ----------
    row, last : int
        Row of the event at which the incident opened, and of the last alert about it.
    entity, kind, severity : str
    """

    row: int
    last: int
    entity: str
    kind: str
    severity: str


def openings(result: Backtest) -> list[Opening]:
    """All incidents of a stream that was scored as one partition, in the order in which they opened."""
    opened: list[dict[str, Any]] = []
    last: dict[str, int] = {}
    for text in result.alerts:
        data = json.loads(text)["data"]
        last[data["alert_id"]] = max(last.get(data["alert_id"], 0), int(data["source"]["offset"]))
        if data["state"] == "opened":
            opened.append(data)
    return [
        Opening(
            int(data["source"].get("opened_offset", data["source"]["offset"])),
            last[data["alert_id"]],
            data["entity"],
            data["kind"],
            data["severity"],
        )
        for data in opened
    ]


def segments(labels: Ints) -> list[tuple[int, int]]:
    """First and last place of each run of labels that are not 0.

    Parameters
    ----------
    labels : int64[n]
    """
    edges = np.diff(np.concatenate(([0], (np.asarray(labels) != 0).astype(np.int64), [0])))
    return list(zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True))


def harmonic_mean(precision: float, recall: float) -> float:
    """F1; 0 if both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def in_processes(work: Callable[[Work], Done], items: Iterable[Work], processes: int | None = None) -> Iterator[Done]:
    """What `work` returns for each item, as soon as it is there.

    Parameters
    ----------
    work : callable
        A function of a module.
    items : iterable
    processes : int, optional
        All cores by default; 1 stays in this process.
    """
    if processes == 1:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for job in as_completed([pool.submit(work, item) for item in items]):
            yield job.result()
