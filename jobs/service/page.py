"""The page: open incidents, one incident, one entity, and what the service sees. It is rendered here; a script only keeps it up to date."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime
from importlib.resources import files
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi import Form as FormData
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel
from streamgauge.jobs.service.access import SESSION, Caller
from streamgauge.jobs.service.answers import Note, Verdict, moment, number
from streamgauge.jobs.service.api import COOKIE, Parts, PartsOf
from streamgauge.jobs.service.queries import Filter
from streamgauge.jobs.service.series import around, svg
from streamgauge.models.errors import InputError

SHOWN = 200  # incidents in a list
RECENT, NOTICES = 20, 50


router = APIRouter(include_in_schema=False)


def _reader(request: Request, parts: PartsOf) -> Caller:
    """Who reads the page; others are sent to the page on which one signs in."""
    caller = parts.caller(request)
    if caller is None or "read" not in caller.scopes:
        raise HTTPException(303, headers={"Location": "/sign-in"})
    return caller


Reader = Annotated[Caller, Depends(_reader)]


@functools.cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(str(files("streamgauge.jobs.service") / "templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"ago": ago, "clock": clock, "number": number, "path": functools.partial(quote, safe="")}
    return environment


def _page(name: str, who: Caller | None, values: dict[str, Any], status: int = 200) -> HTMLResponse:
    return HTMLResponse(_templates().get_template(name).render(who=who, **values), status)


def _missing(who: Caller, what: str) -> HTMLResponse:
    return _page("missing.html", who, {"what": what}, 404)


def _now(parts: Parts) -> dict[str, Any]:
    rows, _ = parts.queries.incidents(Filter(state="open"), SHOWN, worst_first=True)
    recent, _ = parts.queries.incidents(Filter(state="ended"), RECENT)
    total = len(rows) if len(rows) < SHOWN else parts.queries.count(Filter(state="open"))
    return {"incidents": rows, "recent": recent, "more": total - len(rows), "status": parts.intake.status}


@router.get("/")
def now(parts: PartsOf, who: Reader) -> HTMLResponse:
    """Open incidents, the worst first."""
    return _page("now.html", who, _now(parts))


@router.get("/fragments/now")
def now_fragment(parts: PartsOf, who: Reader) -> HTMLResponse:
    """The part of the page `now` that changes."""
    return _page("_now.html", who, _now(parts))


@router.get("/incidents/{alert_id}")
def incident(alert_id: str, parts: PartsOf, who: Reader, said: str = "") -> HTMLResponse:
    """One incident; `said` is the verdict that was just given."""
    found = parts.queries.incident(alert_id)
    if found is None:
        return _missing(who, f"incident {alert_id!r}")
    return _page("incident.html", who, {"one": found, "said": said})


@router.get("/incidents/{alert_id}/series.svg", dependencies=[Depends(_reader)])
def series(alert_id: str, parts: PartsOf) -> Response:
    """The values around an incident."""
    found = parts.queries.incident(alert_id)
    drawn = None if found is None else around(parts.settings, found)
    if found is None or drawn is None:
        raise HTTPException(404, "the events around this incident are not on the topic, or it has no numeric field")
    return Response(svg(drawn, found), media_type="image/svg+xml")


class Form(BaseModel):
    """Feedback as the page sends it."""

    verdict: Literal["true", "false", "ignore"]
    csrf: str
    until: str = ""
    why: Note = ""

    def said(self) -> Verdict:
        """The feedback.

        Raises
        ------
        InputError
            The time is none.
        """
        try:
            until = datetime.fromisoformat(self.until).replace(tzinfo=UTC) if self.until else None
        except ValueError as error:
            raise InputError(f"until: {self.until!r} is no time; allowed is one such as 2026-11-22T10:00") from error
        return Verdict(verdict=self.verdict, until=until if self.verdict == "ignore" else None, why=self.why)


@router.post("/incidents/{alert_id}/feedback")
def feedback(alert_id: str, form: Annotated[Form, FormData()], parts: PartsOf, who: Reader) -> Response:
    """Send the job what a person says of an incident."""
    if form.csrf != who.csrf or "feedback" not in who.scopes:
        raise HTTPException(403, "this form is not of your session, or your token lacks the scope feedback")
    if not parts.give_feedback(alert_id, form.said(), who.name):
        return _missing(who, f"incident {alert_id!r}")
    return RedirectResponse(f"/incidents/{quote(alert_id, safe='')}?said={form.verdict}", 303)


@router.get("/entities/{name:path}")
def entity(name: str, parts: PartsOf, who: Reader, cursor: str | None = None) -> HTMLResponse:
    """One entity, with its incidents."""
    found = parts.queries.entity(name)
    if found is None:
        return _missing(who, f"incident of the entity {name!r}")
    rows, following = parts.queries.incidents(Filter(entity=name), 100, cursor)
    return _page("entity.html", who, {"entity": found, "incidents": rows, "next": following})


@router.get("/stream")
def stream(parts: PartsOf, who: Reader) -> HTMLResponse:
    """What the service and the job say of themselves."""
    queries = parts.queries
    values = {
        "status": parts.intake.status,
        "verdicts": queries.verdicts(),
        "deliveries": queries.deliveries(list(parts.settings.service.targets)),
        "unreadable": queries.unreadable(),
        "open": queries.count(Filter(state="open")),
        "total": queries.count(Filter()),
        "notices": queries.notices(None, NOTICES),
    }
    return _page("stream.html", who, values)


@router.get("/sign-in")
def ask() -> HTMLResponse:
    """Ask for a token."""
    return _page("sign-in.html", None, {"wrong": False})


@router.post("/sign-in")
def sign_in(token: Annotated[str, FormData(max_length=200)], request: Request, parts: PartsOf) -> Response:
    """Begin a session."""
    session = parts.access.sign_in(token.strip())
    if session is None:
        return _page("sign-in.html", None, {"wrong": True}, 401)
    answer = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, session, SESSION // 1000, httponly=True, samesite="strict", secure=secure)
    return answer


@router.post("/sign-out")
def sign_out(csrf: Annotated[str, FormData()], parts: PartsOf, who: Reader) -> Response:
    """End a session."""
    if csrf != who.csrf:
        raise HTTPException(403, "this form is not of your session")
    if who.session:
        parts.access.sign_out(who.session)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE)
    return answer


def clock(milliseconds: int) -> str:
    """A time as text, in UTC."""
    return f"{moment(milliseconds):%Y-%m-%d %H:%M:%S}"


def ago(milliseconds: float) -> str:
    """How long ago a time was, in one unit."""
    seconds = max(0.0, time.time() - milliseconds / 1000.0)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
