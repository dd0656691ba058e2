"""Who sends too many requests is refused for a while, and others are not."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from streamgauge.jobs.service.access import Access
from streamgauge.jobs.service.app import application
from streamgauge.jobs.service.database import connect, migrate
from streamgauge.models.errors import SettingsError

from tests.jobs.service.test_api import HERE, settings


@pytest.fixture
def database(tmp_path):
    engine = connect(None, tmp_path)
    migrate(engine)
    yield engine
    engine.dispose()


def service(database, **limits):
    return TestClient(application(settings(limits=limits), database), base_url=HERE, follow_redirects=False)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def statuses(client, path, headers, times):
    return [client.get(path, headers=headers).status_code for _ in range(times)]


def test_too_many_requests_are_refused_and_the_answer_says_when_to_come_again(database):
    client = service(database, requests="3 per day")
    assert statuses(client, "/v1/incidents", {}, 3) == [200] * 3
    refused = client.get("/v1/incidents")
    assert (refused.status_code, refused.headers["content-type"]) == (429, "application/problem+json")
    assert 1 <= int(refused.headers["retry-after"]) <= 86_400
    assert "service.limits.requests is 3 per day" in refused.json()["detail"]
    assert "x-content-type-options" in refused.headers
    assert client.get("/").status_code == 429


def test_health_metrics_and_the_files_of_the_page_are_not_counted(database):
    client = service(database, requests="1 per day")
    assert statuses(client, "/v1/incidents", {}, 2) == [200, 429]
    for path, status in (("/healthz", 200), ("/readyz", 503), ("/metrics", 200), ("/static/live.js", 200)):
        assert statuses(client, path, {}, 3) == [status] * 3
    assert 'status="429"} 1.0' in client.get("/metrics").text


def test_each_token_each_session_and_each_address_is_counted_by_itself(database):
    access = Access(database)
    first, second = (access.make(name, ["read"], None) for name in ("first", "second"))
    client = service(database, requests="2 per day")
    assert statuses(client, "/v1/incidents", bearer(first), 3) == [200, 200, 429]
    assert statuses(client, "/v1/incidents", bearer(second), 3) == [200, 200, 429]
    for _ in range(2):  # two people with one token
        session = client.post("/sign-in", data={"token": first}).cookies["streamgauge_session"]
        client.cookies.clear()
        assert statuses(client, "/", {"Cookie": f"streamgauge_session={session}"}, 3) == [200, 200, 429]
    fresh = service(database, requests="2 per day")
    assert [fresh.get("/v1/incidents", headers=bearer(f"sg_{n}")).status_code for n in range(4)] == [401, 401, 429, 429]
    assert fresh.get("/v1/incidents").status_code == 429  # the same address
    assert fresh.get("/v1/incidents", headers=bearer(first)).status_code == 200


def test_events_to_score_are_counted_like_other_requests(database):
    client = service(database, requests="2 per day")
    assert [client.post("/v1/score", json={"events": [{}]}).status_code for _ in range(3)] == [501, 501, 429]
    assert client.get("/v1/incidents").status_code == 429


def test_feedback_has_a_limit_of_its_own(database):
    client = service(database, feedback="2 per day")
    sent = [client.post("/v1/incidents/none/feedback", json={"verdict": "true"}).status_code for _ in range(3)]
    assert sent == [404, 404, 429]
    assert client.post("/incidents/none/feedback", data={"verdict": "true", "csrf": ""}).status_code == 429
    assert client.get("/v1/incidents").status_code == 200


def test_tries_to_sign_in_have_a_limit_of_their_own(database):
    token = Access(database).make("ann", ["read"], None)
    client = service(database, sign_in="2 per day")
    tried = [client.post("/sign-in", data={"token": "sg_wrong"}).status_code for _ in range(3)]
    assert tried == [401, 401, 429]
    assert client.post("/sign-in", data={"token": token}).status_code == 429
    assert client.get("/v1/incidents", headers=bearer(token)).status_code == 200


def test_a_limit_can_be_switched_off(database):
    client = service(database, requests=None)
    assert set(statuses(client, "/v1/notices", {}, 50)) == {200}


@pytest.mark.parametrize("rate", ["many", "0 per minute", "5 per fortnight", "5/minute", 5])
def test_a_limit_that_is_none_is_refused(rate):
    with pytest.raises(SettingsError, match=r"service\.limits\.requests"):
        settings(limits={"requests": rate})
