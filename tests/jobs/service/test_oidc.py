"""Tokens of a provider of OpenID Connect: which are let in, which are refused, and why."""

from __future__ import annotations

import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi.testclient import TestClient
from streamgauge.jobs.service import provider as provider_module
from streamgauge.jobs.service.access import Access
from streamgauge.jobs.service.app import application
from streamgauge.jobs.service.database import connect, migrate

from tests.jobs.service.openid import AUDIENCE, CONFIGURATION, KEYS, OpenId
from tests.jobs.service.test_api import HERE, settings

ROLES = {"operators": ["read", "feedback"], "watchers": ["read"]}


@pytest.fixture
def openid():
    provider = OpenId()
    yield provider
    provider.stop()


@pytest.fixture
def at_once(monkeypatch):
    """Keys that are not known are fetched at once."""
    monkeypatch.setattr(provider_module, "AGAIN", 0.0)


@pytest.fixture
def database(tmp_path):
    engine = connect(None, tmp_path)
    migrate(engine)
    yield engine
    engine.dispose()


def service(database, openid, **more):
    given = {"issuer": openid.issuer, "audience": AUDIENCE, "roles": ROLES} | more
    return TestClient(application(settings(oidc=given), database), base_url=HERE, follow_redirects=False)


def ask(client, token, path="/v1/incidents"):
    return client.get(path, headers={"Authorization": f"Bearer {token}"})


def judge(client, token):
    """Try to judge an incident; 404 means let in, because there is none."""
    return client.post(
        "/v1/incidents/a/feedback", json={"verdict": "true"}, headers={"Authorization": f"Bearer {token}"}
    )


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_token_of_the_provider_is_let_in_with_what_its_roles_may_do(database, openid, algorithm):
    client = service(database, openid)
    assert client.get("/v1/incidents").status_code == 401
    assert ask(client, openid.token(algorithm)).status_code == 200
    assert judge(client, openid.token(algorithm)).status_code == 404
    watcher = openid.token(algorithm, roles=["watchers", "others"])
    assert ask(client, watcher).status_code == 200
    assert (judge(client, watcher).status_code, "lacks the scope feedback" in judge(client, watcher).text) == (
        403,
        True,
    )


def test_a_role_that_the_settings_do_not_name_may_do_nothing(database, openid):
    client = service(database, openid)
    for roles in (["strangers"], [], "strangers", {"operators": True}, None):
        refused = ask(client, openid.token(roles=roles))
        assert (refused.status_code, "service.oidc.roles" in refused.json()["detail"]) == (403, True)


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["watchers"]}}),
        ("https://example.com/roles", {"https://example.com/roles": ["watchers"]}),
        ("scope", {"scope": "openid watchers"}),
    ],
)
def test_roles_are_read_where_the_settings_say(database, openid, claim, claims):
    client = service(database, openid, roles_claim=claim)
    assert ask(client, openid.token(**claims)).status_code == 200
    assert ask(client, openid.token()).status_code == 403


def other_key(openid):
    """A token with the id of a key of the provider, signed with another key."""
    name = next(iter(openid.keys))
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    return jwt.encode(openid.claims(), key, "RS256", headers={"kid": name})


def changed(openid):
    """A token whose claims were changed after it was signed."""
    parts, other = openid.token().split("."), openid.token(roles=["watchers"]).split(".")
    return ".".join((parts[0], other[1], parts[2]))


REFUSED = {
    "expired": (lambda o: o.token(exp=int(time.time()) - 60), "has expired"),
    "not valid yet": (lambda o: o.token(nbf=int(time.time()) + 600), "not valid yet"),
    "of the future": (lambda o: o.token(iat=int(time.time()) + 600), "not valid yet"),
    "other audience": (lambda o: o.token(aud="billing"), "another audience"),
    "other issuer": (lambda o: o.token(iss="https://evil.example"), "another issuer"),
    "without an end": (lambda o: o.token(exp=None), "lacks the claim exp"),
    "without an audience": (lambda o: o.token(aud=None), "lacks the claim aud"),
    "without a subject": (lambda o: o.token(sub=None), "lacks the claim sub"),
    "not signed": (lambda o: jwt.encode(o.claims(), None, "none"), "in another way than RS256 or ES256"),
    "by the public key": (lambda o: o.token_by_public_key(), "in another way than RS256 or ES256"),
    "RS512": (lambda o: o.token("RS512"), "in another way than RS256 or ES256"),
    "by another key": (other_key, "wrong signature"),
    "changed": (changed, "wrong signature"),
    "with an unknown key": (lambda o: o.token(headers={"kid": "unknown"}), "a key that its issuer does not have"),
    "nonsense": (lambda _: "a.b.c", "cannot be read"),
    "a name that cannot be kept": (lambda o: o.token(sub="a\0b"), "the claim sub"),
    "an empty name": (lambda o: o.token(sub=""), "the claim sub"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_token_that_is_wrong_is_refused_and_the_answer_says_why(database, openid, case):
    make, words = REFUSED[case]
    token = make(openid)
    refused = ask(service(database, openid), token)
    assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert words in refused.json()["detail"]
    for hidden in (token, AUDIENCE, openid.issuer):
        assert hidden not in refused.text


def test_clocks_may_be_a_little_apart(database, openid):
    late = openid.token(exp=int(time.time()) - 20)
    assert ask(service(database, openid), late).status_code == 200
    assert ask(service(database, openid, leeway="5 s"), late).status_code == 401


def test_after_the_keys_were_exchanged_the_new_ones_are_fetched(database, openid, at_once):
    client = service(database, openid)
    before = openid.token()
    assert ask(client, before).status_code == 200
    openid.rotate()
    assert ask(client, openid.token()).status_code == 200
    assert ask(client, before).status_code == 401


def test_a_key_that_was_withdrawn_ends_even_if_nobody_uses_a_new_one(database, openid, at_once, monkeypatch):
    client = service(database, openid)
    before = openid.token()
    assert ask(client, before).status_code == 200
    openid.rotate()
    assert ask(client, before).status_code == 200
    monkeypatch.setattr(provider_module, "FRESH", 0.0)
    assert ask(client, before).status_code == 401


def test_keys_are_fetched_once_however_many_unknown_ones_are_named(database, openid, monkeypatch):
    monkeypatch.setattr(provider_module, "AGAIN", 3_600.0)
    client = service(database, openid)
    for n in range(20):
        assert ask(client, openid.token(headers={"kid": f"unknown-{n}"})).status_code == 401
    assert ask(client, openid.token()).status_code == 200
    assert openid.answers == {CONFIGURATION: 1, KEYS: 1}


def test_the_service_starts_without_its_provider_and_asks_it_when_it_is_back(database, openid, at_once):
    openid.stop()
    client = service(database, openid)
    token = openid.token()
    away = ask(client, token)
    assert (away.status_code, "service.oidc" in away.json()["detail"]) == (503, True)
    openid.start()
    assert ask(client, token).status_code == 200
    openid.stop()
    assert ask(client, token).status_code == 200  # its keys are known
    openid.rotate()
    assert ask(client, openid.token()).status_code == 503  # this one is not
    assert ask(client, token).status_code == 200
    openid.start()


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "http://127.0.0.1:1/other"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
        {"jwks_uri": "ISSUER/moved"},
        {"jwks_uri": "ISSUER/nothing"},
    ],
)
def test_a_provider_that_describes_itself_wrongly_is_not_believed(database, openid, change):
    openid.changes = {name: value and value.replace("ISSUER", openid.issuer) for name, value in change.items()}
    assert ask(service(database, openid), openid.token()).status_code == 503


def test_tokens_of_the_service_work_beside_those_of_the_provider(database, openid):
    own = Access(database).make("grafana", ["read"], None)
    client = service(database, openid)
    assert ask(client, own).status_code == 200
    assert ask(client, "sg_wrong").json()["detail"] == "the token is unknown or has expired"


def test_with_a_provider_the_service_may_listen_for_other_machines(database, openid):
    given = {"issuer": openid.issuer, "audience": AUDIENCE, "roles": ROLES}
    client = TestClient(
        application(settings(host="0.0.0.0", oidc=given), database), base_url="http://elsewhere.example"
    )
    assert client.get("/v1/incidents").status_code == 401
    assert ask(client, openid.token()).status_code == 200
