"""The page: open incidents, one incident, one entity, quality, models, the stream. It is rendered here; a script keeps it up to date."""

from __future__ import annotations

import contextlib
import functools
import time
from datetime import UTC, datetime
from importlib.resources import files
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi import Form as FormData
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ValidationError
from streamgauge.jobs.service.access import SESSION, Caller
from streamgauge.jobs.service.answers import Note, Plain, Verdict, explanation_of, moment, number
from streamgauge.jobs.service.api import COOKIE, Parts, PartsOf, limited
from streamgauge.jobs.service.effects import effects
from streamgauge.jobs.service.queries import Filter
from streamgauge.jobs.service.scores import DAY, Curve
from streamgauge.jobs.service.series import NO_SERIES, around, span_of, svg, svg_of_scores, svg_of_words
from streamgauge.models.errors import ClusterError, InputError

SHOWN = 200  # incidents in a list
RECENT, NOTICES = 20, 50
WEEKS = 8
SAID = {"true": "right", "false": "wrong", "ignore": "ignore", "undo": "taken back"}
NO_SCORES = "No scores of events around this time are kept."
IMAGE = "default-src 'none'; style-src 'unsafe-inline'"  # the image has its own colours for light and dark

router = APIRouter(include_in_schema=False, dependencies=[limited("requests")])


def _reader(request: Request, parts: PartsOf) -> Caller:
    """Who reads the page; others are sent to the page on which one signs in."""
    caller = parts.caller(request)
    if caller is None or "read" not in caller.scopes:
        raise HTTPException(303, headers={"Location": "/sign-in"})
    return caller


Reader = Annotated[Caller, Depends(_reader)]
Page = Annotated[int, Query(ge=1, le=100_000)]


@functools.cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(str(files("streamgauge.jobs.service") / "templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"ago": ago, "clock": clock, "number": number, "percent": percent}
    environment.filters["path"] = functools.partial(quote, safe="")
    return environment


def _page(name: str, who: Caller | None, values: dict[str, Any], status: int = 200) -> HTMLResponse:
    return HTMLResponse(_templates().get_template(name).render(who=who, **values), status)


def _missing(who: Caller, what: str) -> HTMLResponse:
    return _page("missing.html", who, {"what": what}, 404)


def _now(parts: Parts, page: int) -> dict[str, Any]:
    chosen, reports = Filter(state="open"), parts.queries.reports()
    rows, _ = parts.queries.incidents(chosen, SHOWN, worst_first=True, skip=SHOWN * (page - 1))
    recent, _ = parts.queries.incidents(Filter(state="ended"), RECENT)
    covered = [report.entities for _, report in reports]
    total = parts.queries.count(chosen)
    return {
        "groups": parts.queries.groups().together(rows),
        "total": total,
        "page": page,
        "pages": -(-total // SHOWN),
        "recent": recent,
        "status": parts.intake.status,
        "sight": parts.intake.sight,
        "entities": {of: sum(getattr(one, of) for one in covered) for of in ("known", "warm")} if covered else None,
    }


@router.get("/")
def now(parts: PartsOf, who: Reader, page: Page = 1) -> HTMLResponse:
    """Open incidents, the worst first."""
    return _page("now.html", who, _now(parts, page))


@router.get("/fragments/now", dependencies=[Depends(_reader)])
def now_fragment(parts: PartsOf, page: Page = 1) -> HTMLResponse:
    """The part of the page `now` that changes. It is the same for all readers."""
    template = _templates().get_template("_now.html")
    return HTMLResponse(parts.recent.get(f"now {page}", lambda: template.render(_now(parts, page))))


def _incident(parts: Parts, found: dict[str, Any]) -> dict[str, Any]:
    """An incident with the job's newest report, if that came after the newest verdict: it says which verdicts are in force."""
    reports, judged = parts.queries.reports(), max((one["time"] for one in found["feedback"]), default=None)
    arrived, report = reports[-1] if reports else (0, None)
    answered = report is not None and judged is not None and arrived > judged
    return {"one": found, "answer": {"arrived": arrived, "feedback": report.feedback} if report and answered else None}


def _whole(parts: Parts, who: Caller, found: dict[str, Any], **more: str | None) -> dict[str, Any]:
    """All that the page of an incident shows."""
    try:
        changed = effects(found, parts.queries.said_of(found["entity"]), who.name)
    except (InputError, ValidationError):  # a message of another release; what can be read of the incident is shown
        changed = None
    values: dict[str, Any] = {"explanation": explanation_of(found)}
    values |= {"effects": changed, "together": parts.queries.opened_with(found), "said": None, "refused": None}
    values |= _scores(parts, found["entity"]) | _counterfactual(parts, found["alert_id"])
    return _incident(parts, found) | values | more


def _counterfactual(parts: Parts, alert_id: str) -> dict[str, Any]:
    """What is known of the values that would not have opened an incident, and whether the service can find out."""
    known = None if parts.explanations is None else parts.explanations.known(alert_id)
    return {"explains": parts.explanations is not None, "counterfactual": known}


def _scores(parts: Parts, entity: str) -> dict[str, Any]:
    """Whether an entity has scores, why it may have none, and after how many days they are thinned."""
    thin = parts.settings.service.scores_thin_after
    thinned = None if thin is None else f"{thin / DAY:.3g}"
    return {"has_scores": parts.queries.has_scores(entity), "why_no_scores": parts.why_no_scores, "thinned": thinned}


@router.get("/incidents/{alert_id}")
def incident(alert_id: str, parts: PartsOf, who: Reader, said: str = "", find: bool = False) -> HTMLResponse:
    """One incident; `said` is the verdict that was just given, `find` whether the counterfactual was just asked for."""
    found = parts.queries.incident(alert_id)
    if found is None:
        return _missing(who, f"incident {alert_id!r}")
    if find:  # another service than this one may have been asked
        with contextlib.suppress(HTTPException):  # the page is there all the same
            parts.counterfactual(alert_id)
    return _page("incident.html", who, _whole(parts, who, found, said=SAID.get(said)))


@router.get("/fragments/incidents/{alert_id}")
def incident_fragment(alert_id: str, parts: PartsOf, who: Reader) -> HTMLResponse:
    """The part of the page of an incident that changes."""
    found = parts.queries.incident(alert_id)
    if found is None:
        return _missing(who, f"incident {alert_id!r}")
    return _page("_incident.html", who, _incident(parts, found))


@router.post("/incidents/{alert_id}/counterfactual")
def find_out(alert_id: str, csrf: Annotated[str, FormData()], parts: PartsOf, who: Reader) -> Response:
    """Begin to find out which values would not have opened an incident."""
    if csrf != who.csrf:
        raise HTTPException(403, "this form is not of your session")
    parts.counterfactual(alert_id)
    return RedirectResponse(f"/incidents/{quote(alert_id, safe='')}?find=true#counterfactual", 303)


@router.get("/fragments/incidents/{alert_id}/counterfactual")
def counterfactual_fragment(alert_id: str, parts: PartsOf, who: Reader) -> HTMLResponse:
    """What is known of the values that would not have opened an incident, after somebody has asked."""
    values = {"one": {"alert_id": alert_id}, "counterfactual": parts.counterfactual(alert_id)}
    return _page("_counterfactual.html", who, values)


@router.get("/incidents/{alert_id}/series.svg", dependencies=[Depends(_reader)])
def series(alert_id: str, parts: PartsOf) -> Response:
    """The values around an incident, as an image; where there are none, it says why."""
    found = parts.queries.incident(alert_id)
    if found is None:
        raise HTTPException(404, f"there is no incident {alert_id!r} in the history")
    try:
        drawn = around(parts.settings, found)
    except ClusterError as error:
        image = svg_of_words(str(error))
    else:
        image = svg_of_words(NO_SERIES) if drawn is None else svg(drawn, found)
    return _image(image)


@router.get("/incidents/{alert_id}/scores.svg", dependencies=[Depends(_reader)])
def incident_scores(alert_id: str, parts: PartsOf) -> Response:
    """The scores around an incident, as an image."""
    found = parts.queries.incident(alert_id)
    if found is None:
        raise HTTPException(404, f"there is no incident {alert_id!r} in the history")
    began, ended = span_of(found)
    return _curve(parts.queries.scores_around(found["entity"], began, ended), (began, ended))


@router.get("/scores.svg", dependencies=[Depends(_reader)])
def entity_scores(entity: Plain, parts: PartsOf) -> Response:
    """The newest scores of an entity, as an image."""
    return _curve(parts.queries.scores(entity))


def _curve(curve: Curve, marked: tuple[int, int] | None = None) -> Response:
    judged = any(row["score"] is not None for row in curve.rows)
    return _image(svg_of_scores(curve, marked) if judged else svg_of_words(NO_SCORES))


def _image(svg: str) -> Response:
    return Response(svg, media_type="image/svg+xml", headers={"Content-Security-Policy": IMAGE})


class Form(BaseModel):
    """Feedback as the page sends it."""

    verdict: Literal["true", "false", "ignore", "undo"]
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


@router.post("/incidents/{alert_id}/feedback", dependencies=[limited("feedback")])
def feedback(alert_id: str, form: Annotated[Form, FormData()], parts: PartsOf, who: Reader) -> Response:
    """Send the job what a person says of an incident."""
    if form.csrf != who.csrf or "feedback" not in who.scopes:
        raise HTTPException(403, "this form is not of your session, or your token lacks the scope feedback")
    found = parts.queries.incident(alert_id)
    if found is None:
        return _missing(who, f"incident {alert_id!r}")
    try:
        parts.give_feedback(alert_id, form.said(), who.name)
    except (InputError, ClusterError) as error:
        status = 422 if isinstance(error, InputError) else 503
        return _page("incident.html", who, _whole(parts, who, found, refused=str(error)), status)
    return RedirectResponse(f"/incidents/{quote(alert_id, safe='')}?said={form.verdict}", 303)


@router.get("/entities/{name:name}")
def entity(name: str, parts: PartsOf, who: Reader, cursor: str | None = None) -> HTMLResponse:
    """One entity, with its incidents."""
    found = parts.queries.entity(name)
    if found is None:
        return _missing(who, f"incident of the entity {name!r}")
    rows, following = parts.queries.incidents(Filter(entity=name), 100, cursor)
    values = {"entity": found, "incidents": rows, "next": following} | _scores(parts, name)
    return _page("entity.html", who, values)


@router.get("/quality")
def quality(parts: PartsOf, who: Reader) -> HTMLResponse:
    """How good the detection is."""
    return _page("quality.html", who, {"quality": parts.queries.quality(WEEKS)})


@router.get("/models")
def models(parts: PartsOf, who: Reader) -> HTMLResponse:
    """The trained models."""
    return _page("models.html", who, {"models": parts.queries.models(parts.settings.retrain)})


@router.get("/stream")
def stream(parts: PartsOf, who: Reader) -> HTMLResponse:
    """What the service and the job say of themselves."""
    queries, settings = parts.queries, parts.settings
    values = {
        "event": settings.event,
        "windows": settings.windows,
        "topics": settings.kafka.topics,
        "keep_days": settings.service.keep // DAY,
        "sight": parts.intake.sight,
        "not_scored": queries.not_scored(),
        "unjudged": queries.unjudged(),
        "left_out": queries.left_out(),
        "latency": queries.latency(),
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
def ask(parts: PartsOf) -> HTMLResponse:
    """Ask for a token, or for a way to the provider."""
    return sign_in_page(parts)


def sign_in_page(parts: Parts, problem: str = "", status: int = 200) -> HTMLResponse:
    """The page on which one signs in; `problem` says why the last try did not work."""
    by_provider = parts.oidc is not None and parts.oidc.for_people
    return _page("sign-in.html", None, {"problem": problem, "by_provider": by_provider}, status)


@router.post("/sign-in", dependencies=[limited("sign_in")])
def sign_in(token: Annotated[str, FormData(max_length=200)], request: Request, parts: PartsOf) -> Response:
    """Begin a session."""
    token = token.strip()
    caller = parts.access.of_token(token)
    if caller is not None and "read" not in caller.scopes:
        return sign_in_page(parts, "This token lacks the scope read, and the page needs it.", 403)
    session = parts.access.sign_in(token)
    if session is None:
        return sign_in_page(parts, "This token is unknown or has expired.", 401)
    answer = RedirectResponse("/", 303)
    keep_session(answer, session, request.url.scheme == "https")
    return answer


def keep_session(answer: Response, session: str, secure: bool) -> None:
    """Give a browser the cookie of its session."""
    answer.set_cookie(COOKIE, session, SESSION // 1000, httponly=True, samesite="strict", secure=secure)


def problem_page(title: str, detail: str, status: int) -> HTMLResponse:
    """A page that says what went wrong."""
    return _page("problem.html", None, {"title": title, "detail": detail}, status)


def signed_in_page() -> HTMLResponse:
    """A page that goes on to the first view by itself."""
    return _page("signed-in.html", None, {})


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


def percent(share: float) -> str:
    """A share for people."""
    return f"{100.0 * share:.0f} %"
