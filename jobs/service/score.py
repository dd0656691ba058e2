"""Scoring events of clients over HTTP. The work is done by `scoring`, which is loaded only if the settings ask for it."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field
from streamgauge.jobs.service.access import Caller
from streamgauge.jobs.service.answers import Scores
from streamgauge.jobs.service.api import OFF, PROBLEMS, Parts, PartsOf, allowed, limited, needs

MOST_EVENTS = 1_000  # of one request
router = APIRouter(prefix="/v1", responses=PROBLEMS | OFF, dependencies=[limited("requests")])


class AskedScores(BaseModel, extra="forbid"):
    """Events to score."""

    events: list[Any] = Field(min_length=1, max_length=MOST_EVENTS, description="Objects as on the topic of events.")
    learn: bool = Field(False, description="Whether the service learns them; needs the scope control.")


@router.post("/score")
def score(asked: AskedScores, parts: PartsOf, who: Annotated[Caller, needs("read")]) -> Scores:
    """Score events as the job would score them, if they came next. Nothing is written to Kafka, and no incident opens."""
    return scored([json.dumps(event).encode() for event in asked.events], asked.learn, parts, who)


def scored(payloads: list[bytes], learn: bool, parts: Parts, who: Caller) -> Scores:
    """What the pipeline says of events as they are on the topic.

    Raises
    ------
    HTTPException
        The service does not score, or the caller may not let it learn.
    """
    if learn:
        allowed(who, "control")
    if parts.scoring is None:
        raise HTTPException(501, "this service does not score: service.score is false; true turns it on")
    answers = parts.scoring.score(payloads, learn)
    warmth = parts.scoring.warmth
    return Scores.model_validate({"events": answers, "replayed": warmth.records, "warm": warmth.done})
