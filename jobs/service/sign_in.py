"""Sign in on the page at a provider of OpenID Connect."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse
from streamgauge.jobs.service.access import RefusedError
from streamgauge.jobs.service.api import PartsOf, limited
from streamgauge.jobs.service.oidc import ANSWER, Oidc
from streamgauge.jobs.service.page import keep_session, sign_in_page, signed_in_page
from streamgauge.jobs.service.provider import ProviderAwayError

BEGIN = "/sign-in/oidc"
COOKIE = "streamgauge_sign_in"
TIME = 600  # seconds that a person has to sign in at the provider
Text = Annotated[str, Query(max_length=4_000)]

router = APIRouter(include_in_schema=False, dependencies=[limited("sign_in")])


@router.get(BEGIN)
def begin(parts: PartsOf) -> Response:
    """Send a browser to the provider."""
    oidc = _for_people(parts.oidc)
    try:
        address, secret = oidc.begin()
    except ProviderAwayError as error:
        return sign_in_page(parts, f"Nobody can sign in there now: {error}.", 503)
    answer = RedirectResponse(address, 303)
    # lax, because the provider sends the browser back from another site
    answer.set_cookie(COOKIE, secret, TIME, path=BEGIN, httponly=True, samesite="lax", secure=oidc.secure)
    return answer


@router.get(ANSWER)
def finish(request: Request, parts: PartsOf, state: Text = "", code: Text = "", error: Text = "") -> Response:
    """Begin a session for a browser that comes back from the provider."""
    oidc = _for_people(parts.oidc)
    try:
        if error or not code:
            raise RefusedError("the provider did not let you in")
        person = oidc.finish(request.cookies.get(COOKIE, ""), state, code)
        if "read" not in person.scopes:
            raise RefusedError(f"none of the roles of {person.name} may read here (service.oidc.roles)")
        answer: Response = signed_in_page()
        # A redirect would be a part of the way from the provider's site, on which browsers do not send the cookie of the session.
        answer.headers["Refresh"] = "0; url=/"
        keep_session(answer, parts.access.sign_in_person(person), oidc.secure)
    except RefusedError as refused:
        answer = sign_in_page(parts, f"You are not signed in: {refused}.", 401)
    except ProviderAwayError as away:
        answer = sign_in_page(parts, f"You are not signed in: {away}.", 503)
    answer.delete_cookie(COOKIE, BEGIN)
    return answer


def _for_people(oidc: Oidc | None) -> Oidc:
    if oidc is None or not oidc.for_people:
        raise HTTPException(404, "people sign in here with a token: service.oidc.client_id is not set")
    return oidc
