"""People sign in on the page at a provider of OpenID Connect."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from streamgauge.jobs.service import oidc as oidc_module
from streamgauge.jobs.service.app import application
from streamgauge.jobs.service.history import History
from streamgauge.jobs.service.tables import audit, person_sessions
from streamgauge.jobs.settings.kafka import TopicSettings

from tests.jobs.service.made import change, records
from tests.jobs.service.openid import AUDIENCE, CLIENT, SECRET, OpenId, dict_of, path_of
from tests.jobs.service.test_api import HERE, settings
from tests.jobs.service.test_oidc import ROLES

PAGE = "https://streamgauge.example.com"


@pytest.fixture
def openid():
    provider = OpenId()
    yield provider
    provider.stop()


def page_of(database, openid, base=HERE, **more):
    people = {"client_id": CLIENT, "client_secret": SECRET}
    given = {"issuer": openid.issuer, "audience": AUDIENCE, "roles": ROLES} | people | more
    return TestClient(application(settings(oidc=given, address=base), database), base_url=base, follow_redirects=False)


def redirected(address):
    """Where a browser is sent from an address of the provider."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    connection.request("GET", path_of(address))
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.headers["Location"]


def to_provider_and_back(page):
    """What the browser calls after the provider has let the person in."""
    return path_of(redirected(page.get("/sign-in/oidc").headers["location"]))


def signed_in(page):
    return page.get(to_provider_and_back(page))


def test_a_person_signs_in_at_the_provider_reads_and_signs_out(database, openid):
    openid.person |= {"email": "ann@example.com", "roles": ["watchers"]}
    page = page_of(database, openid, name_claim="email")
    History(database, TopicSettings()).write(records(change("a1")), {})
    assert page.get("/").headers["location"] == "/sign-in"
    assert 'href="/sign-in/oidc"' in page.get("/sign-in").text
    entered = signed_in(page)
    assert (entered.status_code, entered.headers["refresh"]) == (200, "0; url=/")
    assert "1 open incident" in page.get("/").text
    text = page.get("/incidents/a1").text
    assert "Sign out ann@example.com" in text
    assert 'name="verdict"' not in text  # watchers may read only
    with database.connect() as connection:
        noted = connection.execute(select(audit)).one()
        kept = connection.execute(select(person_sessions)).one()
    assert (noted.who, noted.action, noted.data) == (
        "ann@example.com",
        "sign in",
        {"subject": "4711", "issuer": openid.issuer},
    )
    assert page.cookies["streamgauge_session"] not in str(kept)
    csrf = text.split('name="csrf" value="')[1].split('"')[0]
    assert page.post("/sign-out", data={"csrf": csrf}).status_code == 303
    assert page.get("/").status_code == 303


def test_cookies_are_for_this_page_only(database, openid):
    page = page_of(database, openid, PAGE)
    begun = page.get("/sign-in/oidc")
    asking = begun.headers["set-cookie"].lower()
    for words in ("httponly", "secure", "samesite=lax", "path=/sign-in/oidc", "max-age=600"):
        assert words in asking
    entered = page.get(path_of(redirected(begun.headers["location"])))
    asked, session = sorted(entered.headers.get_list("set-cookie"), reverse=True)[:2]
    assert session.startswith("streamgauge_session=")
    for words in ("httponly", "secure", "samesite=strict"):
        assert words in session.lower()
    assert asked.startswith('streamgauge_sign_in=""')


def test_a_client_without_a_secret_signs_in_by_its_verifier(database, openid):
    openid.secret = None
    page = page_of(database, openid, client_secret=None)
    assert signed_in(page).status_code == 200
    assert page.get("/").status_code == 200


def refused(answer, words, status=401):
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert "streamgauge_session" not in str(answer.headers.get_list("set-cookie"))


def test_an_answer_that_this_browser_did_not_ask_for_is_refused(database, openid):
    page, other = page_of(database, openid), page_of(database, openid)
    back = to_provider_and_back(other)
    refused(page.get(back), "not begun in this browser")
    page.get("/sign-in/oidc")
    refused(page.get(back), "not begun in this browser")
    forged = "/sign-in/oidc/answer?code=x&state=" + oidc_module._made("", "state")
    refused(page_of(database, openid).get(forged), "not begun in this browser")
    assert other.get(back).status_code == 200


def test_a_code_works_once(database, openid):
    page = page_of(database, openid)
    back = to_provider_and_back(page)
    secret = page.cookies["streamgauge_sign_in"]
    assert page.get(back).status_code == 200
    again = page_of(database, openid)
    again.cookies.set("streamgauge_sign_in", secret)
    refused(again.get(back), "does not take the code")


def test_a_code_of_another_sign_in_is_refused(database, openid):
    page, other = page_of(database, openid), page_of(database, openid)
    stolen = dict_of(to_provider_and_back(other).partition("?")[2])["code"]
    own = dict_of(to_provider_and_back(page).partition("?")[2])
    refused(page.get(f"/sign-in/oidc/answer?code={stolen}&state={own['state']}"), "does not take the code")


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"nonce": "another"}, "not for this sign in"),
        ({"nonce": None}, "not for this sign in"),
        ({"aud": AUDIENCE}, "another audience"),
        ({"aud": [CLIENT, "billing"], "azp": "billing"}, "another program"),
        ({"exp": 1}, "has expired"),
        ({"roles": ["strangers"]}, "none of the roles of 4711"),
    ],
)
def test_an_id_token_that_is_wrong_signs_nobody_in(database, openid, claims, words):
    openid.person |= claims
    refused(signed_in(page_of(database, openid)), words)


def test_who_is_not_let_in_by_the_provider_is_told_so(database, openid):
    page = page_of(database, openid)
    page.get("/sign-in/oidc")
    refused(page.get("/sign-in/oidc/answer?error=access_denied&error_description=<b>"), "did not let you in")


def test_a_wrong_secret_of_the_page_signs_nobody_in(database, openid):
    answer = signed_in(page_of(database, openid, client_secret="wrong"))
    refused(answer, "does not take the code")


def test_a_provider_that_is_away_is_said_and_tokens_work_on(database, openid):
    page = page_of(database, openid)
    openid.stop()
    refused(page.get("/sign-in/oidc"), "Nobody can sign in there now", 503)
    openid.start()
    back = to_provider_and_back(page)
    openid.stop()
    refused(page.get(back), "does not answer", 503)
    openid.start()
    assert signed_in(page).status_code == 200


def test_sessions_end_with_their_provider(database, openid):
    page = page_of(database, openid)
    signed_in(page)
    other = OpenId()
    try:
        changed = page_of(database, other)
        changed.cookies.set("streamgauge_session", page.cookies["streamgauge_session"])
        assert changed.get("/").status_code == 303
    finally:
        other.stop()
    assert page.get("/").status_code == 200


def test_without_a_name_of_the_page_at_the_provider_people_sign_in_with_a_token(database, openid):
    page = page_of(database, openid, client_id=None, client_secret=None)
    assert "/sign-in/oidc" not in page.get("/sign-in").text
    assert page.get("/sign-in/oidc").status_code == 404
    assert page.get("/sign-in/oidc/answer?code=x&state=y").status_code == 404
