"""Made-up streams (tests/generator) through the pipeline, in this process: the incidents that opened."""

from __future__ import annotations

from dataclasses import dataclass

from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.backtest import score_stream
from streamgauge.jobs.studies.judging import openings

from tests.generator.streams import Stream

LARGE = 200  # entities from which a stream has an event an hour for each, instead of one in five minutes


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
    """Milliseconds from one event of an entity to the next."""
    return 300_000 if entities < LARGE else 3_600_000


def incidents(stream: Stream, settings: Settings) -> list[Incident]:
    """The incidents that open on a stream, each at the event that opened it."""
    steps, entities = stream.places()
    return [
        Incident(int(steps[one.row]), int(entities[one.row]), one.kind, one.severity)
        for one in openings(score_stream(stream.rows(), settings))
    ]
