"""The HTTP API, version 1."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.convertors import PathConvertor, register_url_convertor
from streamgauge.jobs.kafka.feedback import about
from streamgauge.jobs.kafka.topics import send_feedback
from streamgauge.jobs.service.access import SCOPES, Access, Caller, RefusedError
from streamgauge.jobs.service.answers import (
    Counterfactual,
    Entity,
    EntityScores,
    Incidents,
    Notice,
    Plain,
    Problem,
    Severity,
    Verdict,
    WholeIncident,
    entity_scores_of,
    incident_of,
    moment,
    series_of,
    whole_incident_of,
)
from streamgauge.jobs.service.explanations import MOST_WAITING, Explanations
from streamgauge.jobs.service.feed import Feed, Reset
from streamgauge.jobs.service.intake import Intake
from streamgauge.jobs.service.models import Model
from streamgauge.jobs.service.oidc import Oidc
from streamgauge.jobs.service.quality import MOST_WEEKS, Quality
from streamgauge.jobs.service.queries import MOST, Filter, Queries
from streamgauge.jobs.service.rates import Rates
from streamgauge.jobs.service.recent import Recent
from streamgauge.jobs.service.series import around
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import ClusterError, InputError
from streamgauge.udfs.control.proof import FeedbackRefusedError, Gate

if TYPE_CHECKING:
    from streamgauge.jobs.service.scoring import Scoring

COOKIE = "streamgauge_session"
KEPT = 0.25  # seconds, as often as `Feed` looks for changes
BUSY = 10  # seconds to wait while many incidents are scored again
NO_TOKEN = "send a token: `Authorization: Bearer sg_...` (`streamgauge token create`)"
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in (
        (401, "No token, or one that does not work."),
        (403, "The token lacks a scope."),
        (422, "The request is not as described; `detail` says what is allowed."),
        (429, "Too many requests; `Retry-After` says how many seconds to wait."),
        (503, "The database or Kafka does not answer; try again later."),
    )
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is none."}}
OFF: dict[int | str, dict[str, Any]] = {501: {"model": Problem, "description": "service.score is false."}}
BEGUN: dict[int | str, dict[str, Any]] = {202: {"model": Counterfactual, "description": "It waits or runs: ask again."}}


class _Name(PathConvertor):
    """A name in a path, of any characters. That of Starlette ends at the end of a line."""

    regex = r"[\s\S]*"


register_url_convertor("name", _Name())


class Asked(BaseModel, extra="forbid"):
    """Which incidents to list."""

    state: Literal["open", "ended"] | None = None
    entity: Plain | None = None
    kind: Plain | None = None
    severity: Severity | None = Field(None, description="At least this one.")
    since: datetime | None = Field(None, description="Opened at or after this time.")
    until: datetime | None = Field(None, description="Opened before this time.")
    limit: int = Field(100, ge=1, le=MOST)
    cursor: Plain | None = Field(None, description="`next` of the page before.")

    def filter(self) -> Filter:
        """The conditions."""
        times = _milliseconds(self.since), _milliseconds(self.until)
        return Filter(self.state, self.entity, self.kind, self.severity, *times)


class AskedIncident(BaseModel, extra="forbid"):
    """What else to give of an incident."""

    include: Literal["series"] | None = Field(
        None, description="series: the values around the incident, read from the topic of events. That takes longer."
    )


class AskedEntityScores(BaseModel, extra="forbid"):
    """Which scores to list."""

    entity: Plain
    since: datetime | None = Field(None, description="Of events at or after this time.")
    until: datetime | None = Field(None, description="Of events before this time.")


class AskedNotices(BaseModel, extra="forbid"):
    """Which messages of the job to list."""

    type: Plain | None = Field(None, description="Such as `tracked` or `schema.added`.")
    limit: int = Field(100, ge=1, le=MOST)


class AskedQuality(BaseModel, extra="forbid"):
    """For how many weeks to say how good the detection was."""

    weeks: int = Field(8, ge=1, le=MOST_WEEKS)


@dataclass(frozen=True)
class Parts:
    """What the routes use.

    Attributes
    ----------
    settings : Settings
    queries : Queries
    access : Access
    intake : Intake
    feed : Feed
    rates : Rates
    oidc : Oidc or None
        Callers of a provider of OpenID Connect, if there is one.
    open_to_all : bool
        Whether no token is needed, because the service listens on this machine only and there is no token.
    scoring : Scoring or None
        None if the service does not score.
    explanations : Explanations or None
        None if the service does not score.
    recent : Recent
        Parts of pages that many ask for at the same time.
    """

    settings: Settings
    queries: Queries
    access: Access
    intake: Intake
    feed: Feed
    rates: Rates
    oidc: Oidc | None
    open_to_all: bool
    scoring: Scoring | None = None
    explanations: Explanations | None = None
    recent: Recent = field(default_factory=lambda: Recent(KEPT))

    @property
    def why_no_scores(self) -> str:
        """Why there may be no scores of an entity."""
        if self.settings.output.scores == "none":
            return "output.scores is none; sampled or all turns it on"
        return "none arrived in the time of service.scores_keep"

    def caller(self, request: Request) -> Caller | None:
        """Who sent a request; None if the request names nobody.

        Raises
        ------
        HTTPException
            With the status 401: what the request shows lets nobody in.
        ProviderAwayError
            The provider of OpenID Connect is needed to know, and does not answer.
        """
        state = request.state
        if not hasattr(state, "caller"):  # several dependencies of one request ask
            try:
                state.caller = self.caller_now(request)
            except HTTPException as refused:
                state.caller = refused
        if isinstance(state.caller, HTTPException):
            raise state.caller
        found: Caller | None = state.caller
        return found

    def caller_now(self, request: Request) -> Caller | None:
        """Who sent a request, looked up anew: a stream is open longer than tokens and sessions last. It raises as `caller` does."""
        authorization, session = request.headers.get("authorization", ""), request.cookies.get(COOKIE)
        known = self.access.of_session(session) if session and not authorization else None
        return known or self.holder(authorization)

    def holder(self, authorization: str) -> Caller | None:
        """Whose token a header `Authorization` holds; None if it is empty and a token is needed. It raises as `caller` does."""
        scheme, _, token = authorization.partition(" ")
        if not scheme:
            return Caller("local", frozenset(SCOPES)) if self.open_to_all else None
        token = token.strip()
        if scheme.lower() != "bearer":
            raise HTTPException(401, NO_TOKEN)
        if (caller := self.access.of_token(token)) is not None:
            return caller
        if self.oidc is None or token.count(".") != 2:
            raise HTTPException(401, "the token is unknown or has expired")
        try:
            return self.oidc.of_token(token)
        except RefusedError as error:
            raise HTTPException(401, str(error)) from error

    def count(self, kind: str, caller: Caller | None, address: str) -> None:
        """Count a request of a kind, of a caller or, if nobody is known, of an address.

        Raises
        ------
        HTTPException
            With the status 429: there were too many.
        """
        seconds = self.rates.wait(kind, f"address {address}" if caller is None else caller.counted)
        if seconds is not None:
            rate = getattr(self.settings.service.limits, kind)
            detail = f"too many requests: service.limits.{kind} is {rate}; wait {seconds} s"
            raise HTTPException(429, detail, {"Retry-After": str(seconds)})

    def counterfactual(self, alert_id: str) -> Counterfactual:
        """What is known so far of the values that would not have opened an incident. The first who asks begins the work.

        Raises
        ------
        HTTPException
            The service does not score, there is no such incident, or too many wait.
        """
        if self.explanations is None:
            raise HTTPException(501, "this service scores nothing again: service.score is false; true turns it on")
        if self.explanations.known(alert_id) is None and not self.queries.changes_of(alert_id):
            raise HTTPException(404, f"there is no incident {alert_id!r} in the history")
        found = self.explanations.ask(alert_id)
        if found is None:
            detail = f"{MOST_WAITING} other incidents wait to be scored again; wait {BUSY} s"
            raise HTTPException(429, detail, {"Retry-After": str(BUSY)})
        return found

    def give_feedback(self, alert_id: str, said: Verdict, by: str) -> bool:
        """Send the job what a person says of an incident; False if there is no such incident.

        Raises
        ------
        InputError
            The verdict and the time do not fit, or the job would not believe it.
        ClusterError
            Kafka does not answer.
        """
        records = self.queries.changes_of(alert_id)
        if not records:
            return False
        until = said.until if said.until is None or said.until.tzinfo else said.until.replace(tzinfo=UTC)
        message = about(records, said.verdict, by, until, said.why)
        before = self.queries.said_at(alert_id, by)
        if before is not None and message.at is not None and message.at <= before:
            with contextlib.suppress(OverflowError):  # it was said by a clock that is ahead of this one
                message = message.model_copy(update={"at": before + timedelta(milliseconds=1)})
        try:
            Gate(self.settings.feedback).admit(message)
        except FeedbackRefusedError as error:
            raise InputError(str(error)) from error
        data = {"alert_id": alert_id} | said.model_dump(mode="json")
        number = self.access.audit.note(by, "feedback", data, message.model_dump_json())
        try:
            # Not within a transaction: while Kafka does not answer, no other could write into SQLite.
            send_feedback(self.settings.kafka, message)
        except ClusterError:
            self.access.audit.take_back(number)
            raise
        with contextlib.suppress(SQLAlchemyError):  # it is sent once more then, which changes nothing
            self.access.audit.sent(number)
        return True


async def _parts(
    request: Request,
) -> Parts:  # FastAPI would run a plain function in a thread, which takes longer than it does
    parts: Parts = request.app.state.parts
    return parts


PartsOf = Annotated[Parts, Depends(_parts)]


def needs(scope: str) -> Any:
    """A dependency that lets in whoever has a scope. It needs no thread: `limited` comes before, and has looked up the caller."""

    async def check(request: Request, parts: PartsOf) -> Caller:
        return allowed(parts.caller(request), scope)

    return Depends(check)


def allowed(caller: Caller | None, scope: str) -> Caller:
    """The caller, if it has a scope.

    Raises
    ------
    HTTPException
        It has not, or nobody is known.
    """
    if caller is None:
        raise HTTPException(401, NO_TOKEN)
    if scope not in caller.scopes:
        which = "" if caller.subject is None else "; none of its roles gives it (service.oidc.roles)"
        raise HTTPException(403, f"the token {caller.name!r} lacks the scope {scope}{which}")
    return caller


def limited(kind: str) -> Any:
    """A dependency that counts requests of a kind, and refuses them when a caller sends too many."""

    def count(request: Request, parts: PartsOf) -> None:
        try:
            caller = None if kind == "sign_in" else parts.caller(request)
        except HTTPException:
            caller = None
        parts.count(kind, caller, request.client.host if request.client else "unknown")

    return Depends(count)


router = APIRouter(prefix="/v1", responses=PROBLEMS, dependencies=[limited("requests")])
READS = needs("read")


@router.get("/incidents", dependencies=[READS])
def incidents(request: Request, response: Response, asked: Annotated[Asked, Query()], parts: PartsOf) -> Incidents:
    """Incidents, the newest first. With the header `If-None-Match`, the answer is 304 if nothing has changed."""
    found = listed(asked, parts)
    # Of the contents: incidents are also removed, which leaves no trace in the numbers of changes.
    tag = f'"{hashlib.sha256(found.model_dump_json().encode()).hexdigest()[:32]}"'
    if tag in request.headers.get("if-none-match", ""):  # it may name several, and proxies mark them as weak
        raise HTTPException(304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return found


def listed(asked: Asked, parts: Parts) -> Incidents:
    """A page of incidents, the newest first."""
    rows, following = parts.queries.incidents(asked.filter(), asked.limit, asked.cursor)
    return Incidents(incidents=[incident_of(row) for row in rows], next=following)


@router.get("/incidents/{alert_id}", dependencies=[READS], responses=NOT_FOUND)
def incident(alert_id: str, asked: Annotated[AskedIncident, Query()], parts: PartsOf) -> WholeIncident:
    """An incident with why it opened, its changes, what people said of it, and past incidents like it."""
    found = parts.queries.incident(alert_id)
    if found is None:
        raise HTTPException(404, f"there is no incident {alert_id!r} in the history")
    series = series_of(found, around(parts.settings, found)) if asked.include == "series" else None
    return whole_incident_of(found, series)


@router.get("/incidents/{alert_id}/counterfactual", dependencies=[READS], responses=NOT_FOUND | OFF | BEGUN)
def counterfactual(alert_id: str, response: Response, parts: PartsOf) -> Counterfactual:
    """Which values of a field would not have opened an incident.

    To find out, the service scores the events of its partition again. The first request begins that, and further ones do not begin it
    anew. The status is 202 until it has ended; then `state` is `done` or `failed`.
    """
    found = parts.counterfactual(alert_id)
    if found.state in ("waiting", "running"):
        response.status_code = 202
    return found


@router.post("/incidents/{alert_id}/feedback", status_code=202, responses=NOT_FOUND, dependencies=[limited("feedback")])
def give_feedback(
    alert_id: str, said: Verdict, parts: PartsOf, who: Annotated[Caller, needs("feedback")]
) -> dict[str, str]:
    """Say whether an incident was right. The running job learns of it within a second."""
    if not parts.give_feedback(alert_id, said, who.name):
        raise HTTPException(404, f"there is no incident {alert_id!r} in the history")
    return {"alert_id": alert_id, "verdict": said.verdict, "by": who.name}


@router.get("/entities/{name:name}", dependencies=[READS], responses=NOT_FOUND)
def entity(name: str, parts: PartsOf) -> Entity:
    """What the history knows about an entity."""
    found = parts.queries.entity(name)
    if found is None:
        raise HTTPException(404, f"there is no incident of the entity {name!r} in the history")
    return Entity(**found | {"first": moment(found["first"]), "last": moment(found["last"])})


@router.get("/scores", dependencies=[READS], responses=NOT_FOUND)
def scores(asked: Annotated[AskedEntityScores, Query()], parts: PartsOf) -> EntityScores:
    """The newest scores of an entity, if the job writes scores and the service keeps them (`output.scores`)."""
    found = parts.queries.scores(asked.entity, _milliseconds(asked.since), _milliseconds(asked.until))
    if not found.rows:
        raise HTTPException(404, f"there is no score of the entity {asked.entity!r}: {parts.why_no_scores}")
    return entity_scores_of(asked.entity, found)


@router.get("/notices", dependencies=[READS])
def notices(asked: Annotated[AskedNotices, Query()], parts: PartsOf) -> list[Notice]:
    """Messages of the job about itself, the newest first: quality, schema, groups, models."""
    rows = parts.queries.notices(asked.type, asked.limit)
    return [Notice(id=row["event_id"], type=row["type"], time=moment(row["time"]), data=row["data"]) for row in rows]


@router.get("/quality", dependencies=[READS])
def quality(asked: Annotated[AskedQuality, Query()], parts: PartsOf) -> Quality:
    """How good the detection is: the promise, verdicts of people, probes that were found, by kind and by week."""
    return parts.queries.quality(asked.weeks)


@router.get("/models", dependencies=[READS])
def models(parts: PartsOf) -> list[Model]:
    """The trained models: versions and their roles, comparisons with shadows, and what the trainer did."""
    return parts.queries.models(parts.settings.retrain)


@router.get("/stream", dependencies=[READS], response_class=EventSourceResponse)
def stream(
    request: Request, parts: PartsOf, last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,18}$")] = None
) -> EventSourceResponse:
    """Changes of incidents as server-sent events. A client that gives `Last-Event-ID` misses none.

    If no change has a number as large, the history is another one, such as one from a backup. Then the event `reset` comes, with the
    number after which changes follow: what the client knows may be wrong. The stream ends when the token or the session does.
    """
    number = None if last_event_id is None else int(last_event_id)
    return EventSourceResponse(_events(parts, request, number))


async def _events(parts: Parts, request: Request, number: int | None) -> AsyncIterator[ServerSentEvent]:
    with contextlib.suppress(HTTPException, ClusterError):  # the client is told why when it connects again
        async for change in parts.feed.after(number, lambda: allowed(parts.caller_now(request), "read")):
            if isinstance(change, Reset):
                yield ServerSentEvent(json.dumps({"number": change.number}), event="reset", id=str(change.number))
            else:
                yield ServerSentEvent(json.dumps(news_of(change)), event="change", id=str(change["number"]))


def news_of(change: dict[str, Any]) -> dict[str, Any]:
    """What a stream says of a change of the feed."""
    return change | {"time": moment(change["time"]).isoformat()}


def _milliseconds(time: datetime | None) -> int | None:
    if time is None:
        return None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
