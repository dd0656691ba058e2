"""Made-up streams (tests/generator) through the pipeline, in this process: the incidents that opened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.backtest import score_stream

from tests.generator.streams import Recipe, Stream


@dataclass(frozen=True)
class Incident:
    """An incident that opened.

    Attributes
    ----------
    step, entity : int
    kind, severity : str
    """

    step: int
    entity: int
    kind: str
    severity: str


def step_for(entities: int) -> int:
    """Milliseconds from one event of an entity to the next: five minutes, and an hour in large fleets."""
    return 300_000 if entities < 200 else 3_600_000


def incidents(stream: Stream, settings: Settings) -> list[Incident]:
    """The incidents that open on a stream, each at the event that opened it."""
    result = score_stream(stream.rows(), settings)
    steps, entities = stream.places()
    opened = []
    for text in result.alerts:
        data = json.loads(text)["data"]
        if data["state"] == "opened":
            source = data["source"]
            row = int(source.get("opened_offset", source["offset"]))  # one partition: the offset is the row
            opened.append(Incident(int(steps[row]), int(entities[row]), data["kind"], data["severity"]))
    return opened


def in_processes(work: Callable[[Recipe], Any], recipes: list[Recipe], processes: int | None) -> Iterator[Any]:
    """What `work` returns for each recipe, as it is done. All cores by default."""
    if processes == 1:
        yield from map(work, recipes)
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for job in as_completed([pool.submit(work, recipe) for recipe in recipes]):
            yield job.result()
