"""The verbs of streamgauge.proto, by the functions behind the HTTP API, so that gRPC and HTTP give the same answers."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import BaseModel, Field
from streamgauge.jobs.service import api
from streamgauge.jobs.service.access import Caller
from streamgauge.jobs.service.answers import Incident, Verdict
from streamgauge.jobs.service.api import Asked, AskedEntityScores, AskedIncident, AskedNotices, AskedQuality, Parts
from streamgauge.jobs.service.score import AskedScores, scored

Fields = dict[str, Any]  # of a message, by name; a field that is not set is missing


class Verb(NamedTuple):
    """A verb with one answer.

    Attributes
    ----------
    scope : str
        What a token must allow.
    answer : callable
        Takes the service's parts, the fields of the request and the caller; returns the fields of the answer.
    limits : tuple of str
        Keys of the limits in the settings that it counts for.
    """

    scope: str
    answer: Callable[[Parts, Fields, Caller], Fields]
    limits: tuple[str, ...] = ("requests",)


class AskedChanges(BaseModel):
    """Which changes to stream."""

    after: int | None = Field(None, ge=0)


def _incidents(parts: Parts, asked: Fields, _: Caller) -> Fields:
    return api.listed(Asked.model_validate(asked), parts).model_dump(mode="json")


def _incident(parts: Parts, asked: Fields, _: Caller) -> Fields:
    alert_id = asked.pop("alert_id", "")
    found = api.incident(alert_id, AskedIncident.model_validate(asked), parts).model_dump(mode="json")
    return {"incident": {name: found.pop(name) for name in Incident.model_fields}, **found}


def _entity(parts: Parts, asked: Fields, _: Caller) -> Fields:
    return api.entity(asked.get("name", ""), parts).model_dump(mode="json")


def _scores(parts: Parts, asked: Fields, _: Caller) -> Fields:
    return api.scores(AskedEntityScores.model_validate(asked), parts).model_dump(mode="json")


def _notices(parts: Parts, asked: Fields, _: Caller) -> Fields:
    found = api.notices(AskedNotices.model_validate(asked), parts)
    return {"notices": [notice.model_dump(mode="json") for notice in found]}


def _quality(parts: Parts, asked: Fields, _: Caller) -> Fields:
    return api.quality(AskedQuality.model_validate(asked), parts).model_dump(mode="json")


def _models(parts: Parts, _: Fields, __: Caller) -> Fields:
    return {"models": [model.model_dump(mode="json") for model in api.models(parts)]}


def _feedback(parts: Parts, asked: Fields, who: Caller) -> Fields:
    alert_id = asked.pop("alert_id", "")
    return api.give_feedback(alert_id, Verdict.model_validate(asked), parts, who)


def _score(parts: Parts, asked: Fields, who: Caller) -> Fields:
    events = AskedScores.model_validate(asked).events
    payloads = [base64.b64decode(event) for event in events]  # bytes are base64 in JSON
    return scored(payloads, bool(asked.get("learn")), parts, who).model_dump(mode="json")


VERBS = {
    "ListIncidents": Verb("read", _incidents),
    "GetIncident": Verb("read", _incident),
    "GetEntity": Verb("read", _entity),
    "ListScores": Verb("read", _scores),
    "ListNotices": Verb("read", _notices),
    "GetQuality": Verb("read", _quality),
    "ListModels": Verb("read", _models),
    "GiveFeedback": Verb("feedback", _feedback, ("requests", "feedback")),
    "Score": Verb("read", _score),
}
