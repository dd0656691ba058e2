"""The gRPC door: over a real port, it answers and refuses as HTTP does."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import pytest
from fastapi.testclient import TestClient
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from streamgauge.jobs.service.access import Access
from streamgauge.jobs.service.app import application, ready
from streamgauge.jobs.service.database import connect, migrate
from streamgauge.jobs.service.rpc import streamgauge_pb2 as pb
from streamgauge.jobs.service.rpc.server import address_of, serving
from streamgauge.jobs.service.rpc.streamgauge_pb2_grpc import StreamgaugeStub
from streamgauge.models.errors import InputError

from tests.jobs.service.made import START, change, records, said, score
from tests.jobs.service.test_access import end_token
from tests.jobs.service.test_api import HERE, settings
from tests.jobs.service.test_scores import arriving
from tests.streams import batch

WAIT = 60  # seconds after which a call has failed


class Doors:
    """A service that runs in a thread, and reads no topics: `http` and `grpc` ask it."""

    def __init__(self, database, **chosen):
        app = application(settings(grpc_port=free_port(), **chosen), database)
        self._database, self.parts = database, app.state.parts
        self.http = TestClient(app, base_url=HERE)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.parts.settings.service.grpc_port}")
        self.grpc = StreamgaugeStub(self.channel)
        self._started = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._run(),))

    async def _run(self):
        self._end, self._loop = asyncio.Event(), asyncio.get_running_loop()
        feed = asyncio.create_task(self.parts.feed.run())
        async with serving(self.parts, lambda: ready(self.parts.intake.status) is None):
            self._started.set()
            await self._end.wait()
        feed.cancel()

    def __enter__(self):
        self._thread.start()
        assert self._started.wait(WAIT)
        return self

    def __exit__(self, *error):
        self.channel.close()
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(WAIT)
        wait_for(
            lambda: self._database.pool.checkedout() == 0
        )  # a thread may still end a query of a call that was cancelled


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def filled(history, database):
    """A history of three incidents, a verdict and a notice."""
    made = [
        change("a1"),
        change("a2", entity="päump", severity="low", actual={"flow": None}),
        change("a3", kind="drift", group={"id": "g1", "size": 2}),
        change("a3", "resolved", 5, kind="drift"),
    ]
    notice = {"id": "n1", "type": "io.streamgauge.quality", "time": START / 1000, "data": {"by": {"spike": 0.5}}}
    history.write(records(*made), {})
    history.write(records(said(why="backup"), topic="feedback"), {})
    history.write(records(notice, topic="notices"), {})
    return database


@pytest.fixture
def scored(history, filled):
    """The same history, with 1,000 scores of the entity pump-1, and two of another one."""
    made = [score(n, moment=START + 1000 * n, value=n / 1000) for n in range(1000)]
    unjudged = score(1, "päump", value=None, tail_probability=None, unjudged=True)
    history.write(arriving([*made, unjudged, score(2, "päump", START + 1000, place=3)]), {})
    return filled


@pytest.fixture
def doors(filled):
    """A service that needs no token."""
    with Doors(filled) as running:
        yield running


def plain(message):
    """A message as HTTP would write it, without what is not set."""
    return without_none(
        MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    )


def without_none(value):
    """An answer without what is null, and with integers of 64 bits as text, as JSON has them in protocol buffers."""
    if isinstance(value, dict):
        kept = {name: without_none(inner) for name, inner in value.items() if inner is not None}
        return {name: str(inner) if name in TEXT and isinstance(inner, int) else inner for name, inner in kept.items()}
    return [without_none(inner) for inner in value] if isinstance(value, list) else value


def times(asked):
    """The times of a request, as messages have them."""
    made = {name: Timestamp() for name in ("since", "until") if name in asked}
    for name, message in made.items():
        message.FromJsonString(asked[name])
    return made


TEXT = ("number", "incidents", "open", "point", "drift", "known", "replayed")


def refusal(call, *arguments, **more):
    """Code and sentence with which a call is refused."""
    with pytest.raises(grpc.RpcError) as error:
        call(*arguments, timeout=WAIT, **more)
    return error.value.code(), error.value.details()


def as_caller(token):
    return [("authorization", f"Bearer {token}")]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"state": "open", "severity": "high"},
        {"entity": "päump"},
        {"kind": "drift", "state": "ended"},
        {"since": "2025-10-09T09:00:00Z", "until": "2025-10-09T09:00:01Z"},
        {"since": "2025-10-09T09:00:01Z"},
        {"entity": "nobody"},
    ],
)
def test_the_same_incidents_are_listed(doors, asked):
    answer = doors.grpc.ListIncidents(pb.ListIncidentsRequest(**asked | times(asked)), timeout=WAIT)
    same = doors.http.get("/v1/incidents", params=asked).json()
    assert plain(answer) == without_none(same)


def test_pages_of_incidents_follow_each_other(doors):
    first = doors.grpc.ListIncidents(pb.ListIncidentsRequest(limit=2), timeout=WAIT)
    second = doors.grpc.ListIncidents(pb.ListIncidentsRequest(limit=2, cursor=first.next), timeout=WAIT)
    assert [one.alert_id for page in (first, second) for one in page.incidents] == ["a3", "a2", "a1"]
    assert not second.HasField("next")


def test_the_same_is_said_of_an_incident_an_entity_and_the_job(doors):
    for alert_id in ("a1", "a2", "a3"):
        whole = plain(doors.grpc.GetIncident(pb.GetIncidentRequest(alert_id=alert_id), timeout=WAIT))
        flat = whole.pop("incident") | whole
        assert flat == without_none(doors.http.get(f"/v1/incidents/{alert_id}").json())
    entity = plain(doors.grpc.GetEntity(pb.GetEntityRequest(name="pump-1"), timeout=WAIT))
    assert entity == without_none(doors.http.get("/v1/entities/pump-1").json())
    notices = plain(doors.grpc.ListNotices(pb.ListNoticesRequest(type="quality"), timeout=WAIT))["notices"]
    assert notices == doors.http.get("/v1/notices", params={"type": "quality"}).json()
    assert len(notices) == 1
    assert not doors.grpc.ListNotices(pb.ListNoticesRequest(type="schema"), timeout=WAIT).notices


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"entity": "pump-1"}, 800),
        ({"entity": "pump-1", "since": "2025-10-09T09:00:05Z", "until": "2025-10-09T09:00:07Z"}, 2),
        ({"entity": "pump-1", "since": "2025-10-09T09:16:39Z"}, 1),
        ({"entity": "päump"}, 2),
    ],
)
def test_the_same_scores_of_an_entity_are_listed(scored, asked, found):
    with Doors(scored) as doors:
        answer = doors.grpc.ListScores(pb.ListScoresRequest(**asked | times(asked)), timeout=WAIT)
        same = doors.http.get("/v1/scores", params=asked).json()
        for one in same["scores"]:
            one["offset"] = str(one["offset"])
        assert plain(answer) == without_none(same)
        assert (len(answer.scores), answer.threshold) == (found, 1e-4)


def test_scores_need_the_same_right_and_count_for_the_same_limit(scored):
    access = Access(scored)
    judge, reader = access.make("judge", ["feedback"], None), access.make("reader", ["read"], None)
    with Doors(scored, limits={"requests": "2 per hour"}) as doors:
        asked = pb.ListScoresRequest(entity="pump-1")
        assert refusal(doors.grpc.ListScores, asked)[0] == grpc.StatusCode.UNAUTHENTICATED
        lacks = refusal(doors.grpc.ListScores, asked, metadata=as_caller(judge))
        assert lacks == (grpc.StatusCode.PERMISSION_DENIED, "the token 'judge' lacks the scope read")
        assert doors.grpc.ListScores(asked, metadata=as_caller(reader), timeout=WAIT).scores
        headers = {"Authorization": f"Bearer {reader}"}
        assert [doors.http.get("/v1/scores?entity=pump-1", headers=headers).status_code for _ in range(2)] == [200, 429]
        code, sentence = refusal(doors.grpc.ListScores, asked, metadata=as_caller(reader))
        assert (code, "service.limits.requests is 2 per hour" in sentence) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            True,
        )


def test_the_same_is_said_of_quality_and_models(doors):
    quality = MessageToDict(doors.grpc.GetQuality(pb.GetQualityRequest(weeks=52), timeout=WAIT))
    assert quality == doors.http.get("/v1/quality", params={"weeks": 52}).json()
    assert quality["found"]["incidents"] == 3
    models = MessageToDict(doors.grpc.ListModels(pb.ListModelsRequest(), timeout=WAIT))
    assert models == {"models": doors.http.get("/v1/models").json()}


def test_calls_count_together_with_those_over_http(filled):
    with Doors(filled, limits={"requests": "3 per hour", "feedback": "1 per hour"}) as doors:
        judged = pb.GiveFeedbackRequest(alert_id="none", verdict="true")
        assert refusal(doors.grpc.GiveFeedback, judged)[0] == grpc.StatusCode.NOT_FOUND
        code, sentence = refusal(doors.grpc.GiveFeedback, judged)
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "service.limits.feedback is 1 per hour" in sentence
        assert doors.http.get("/v1/models").status_code == 200
        assert doors.http.get("/v1/models").status_code == 429
        refused = refusal(lambda *a, **m: next(doors.grpc.WatchChanges(*a, **m)), pb.WatchChangesRequest())
        assert refused[0] == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("peer", "address"),
    [("ipv4:127.0.0.1:50000", "127.0.0.1"), ("ipv6:%5B::1%5D:50000", "::1"), ("unix:", "unknown"), ("", "unknown")],
)
def test_calls_of_nobody_known_count_by_address(peer, address):
    assert address_of(peer) == address


@pytest.mark.parametrize(
    ("method", "request_", "path", "code"),
    [
        ("GetIncident", pb.GetIncidentRequest(alert_id="none"), "/v1/incidents/none", grpc.StatusCode.NOT_FOUND),
        ("GetIncident", pb.GetIncidentRequest(alert_id="\0"), "/v1/incidents/%00", grpc.StatusCode.NOT_FOUND),
        ("GetEntity", pb.GetEntityRequest(name="nobody"), "/v1/entities/nobody", grpc.StatusCode.NOT_FOUND),
        (
            "ListIncidents",
            pb.ListIncidentsRequest(cursor="abc"),
            "/v1/incidents?cursor=abc",
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (
            "ListIncidents",
            pb.ListIncidentsRequest(severity="great"),
            "/v1/incidents?severity=great",
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        ("ListIncidents", pb.ListIncidentsRequest(limit=0), "/v1/incidents?limit=0", grpc.StatusCode.INVALID_ARGUMENT),
        ("ListScores", pb.ListScoresRequest(entity="nobody"), "/v1/scores?entity=nobody", grpc.StatusCode.NOT_FOUND),
        ("ListScores", pb.ListScoresRequest(entity=""), "/v1/scores?entity=", grpc.StatusCode.NOT_FOUND),
        ("ListScores", pb.ListScoresRequest(), "/v1/scores", grpc.StatusCode.INVALID_ARGUMENT),
        (
            "ListScores",
            pb.ListScoresRequest(entity="\0"),
            "/v1/scores?entity=%00",
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        ("ListNotices", pb.ListNoticesRequest(limit=-1), "/v1/notices?limit=-1", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_what_is_wrong_is_refused_with_the_sentence_of_http(doors, method, request_, path, code):
    found, sentence = refusal(getattr(doors.grpc, method), request_)
    assert (found, sentence) == (code, doors.http.get(path).json()["detail"].removeprefix("query."))


def test_a_long_id_and_a_time_out_of_range_are_refused_in_short(doors):
    code, sentence = refusal(doors.grpc.GetIncident, pb.GetIncidentRequest(alert_id="ö" * 20_000))
    assert (code, len(sentence)) == (grpc.StatusCode.NOT_FOUND, 500)
    beyond = pb.ListIncidentsRequest(since=Timestamp(seconds=1 << 60))
    code, sentence = refusal(doors.grpc.ListIncidents, beyond)
    assert (code, "a time is out of range" in sentence) == (grpc.StatusCode.INVALID_ARGUMENT, True)


def test_what_does_not_fit_into_a_message_is_said(doors, history):
    deep = [json.loads('{"a":' * depth + "1" + "}" * depth) for depth in (30, 40, 200)]
    made = [change(f"deep-{n}", more=one) for n, one in enumerate(deep)]
    history.write(records(*made, change("large", actual={"flow": 10**400}), begin=4), {("alerts", 0): 4})
    for alert_id in ("deep-1", "deep-2", "large"):
        code, sentence = refusal(doors.grpc.GetIncident, pb.GetIncidentRequest(alert_id=alert_id))
        assert (code, "HTTP has it" in sentence) == (grpc.StatusCode.INTERNAL, True)
    assert doors.grpc.GetIncident(pb.GetIncidentRequest(alert_id="deep-0"), timeout=WAIT).changes


def test_a_request_that_is_too_large_is_refused(doors):
    large = pb.GiveFeedbackRequest(alert_id="a1", verdict="true", why="x" * 70_000)
    assert refusal(doors.grpc.GiveFeedback, large)[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (
        doors.http.post("/v1/incidents/a1/feedback", json={"verdict": "true", "why": "x" * 70_000}).status_code == 413
    )


def test_feedback_is_checked_and_one_that_cannot_be_sent_is_not_accepted(doors):
    give = doors.grpc.GiveFeedback
    for wrong in ({"verdict": "maybe"}, {"verdict": "true", "why": "\0"}, {"verdict": "ignore"}, {}):
        assert refusal(give, pb.GiveFeedbackRequest(alert_id="a1", **wrong))[0] == grpc.StatusCode.INVALID_ARGUMENT
    unknown = refusal(give, pb.GiveFeedbackRequest(alert_id="none", verdict="true"))
    assert unknown == (grpc.StatusCode.NOT_FOUND, "there is no incident 'none' in the history")
    code, sentence = refusal(give, pb.GiveFeedbackRequest(alert_id="a1", verdict="true"))
    assert (code, "no Kafka broker answers" in sentence) == (grpc.StatusCode.UNAVAILABLE, True)


def test_events_are_scored_as_over_http(filled):
    with Doors(filled, score=True) as doors:
        code, sentence = refusal(doors.grpc.Score, pb.ScoreRequest(events=[b"{}"]))
        assert (code, "events cannot be scored yet" in sentence) == (grpc.StatusCode.UNAVAILABLE, True)
        stamps = int(time.time() * 1000) - 3_000_000 + 1_000 * np.arange(3_000)
        doors.parts.scoring.warm(batch([{"entity": "a", "x": float(n % 7)} for n in range(3_000)], stamps=stamps), 1)
        now = int(stamps[-1])
        asked = [{"entity": "a", "ts": now + 1, "x": 3.0}, {"entity": "a", "ts": now + 2, "x": -1e9}, {"x": 1}]
        answer = doors.grpc.Score(pb.ScoreRequest(events=[json.dumps(one).encode() for one in asked]), timeout=WAIT)
        assert plain(answer) == without_none(doors.http.post("/v1/score", json={"events": asked}).json())
        assert [one.outcome for one in answer.events] == ["scored", "scored", "dead_letter"]
        broken = doors.grpc.Score(pb.ScoreRequest(events=[b"\xff{", b""], learn=True), timeout=WAIT)
        assert [one.reason for one in broken.events] == ["not_json", "empty"]
        assert refusal(doors.grpc.Score, pb.ScoreRequest())[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_scoring_that_is_off_is_said(doors):
    code, sentence = refusal(doors.grpc.Score, pb.ScoreRequest(events=[b"{}"]))
    assert (code, "service.score is false" in sentence) == (grpc.StatusCode.UNIMPLEMENTED, True)


def test_with_a_token_nobody_gets_in_without_one(filled):
    access = Access(filled)
    reader, judge = access.make("reader", ["read"], None), access.make("judge", ["feedback"], 1)
    listing, give = pb.ListIncidentsRequest(), pb.GiveFeedbackRequest(alert_id="a", verdict="true")
    with Doors(filled) as doors:
        for nobody in (None, as_caller("sg_wrong"), [("authorization", f"Basic {reader}")], [("authorization", "")]):
            code, sentence = refusal(doors.grpc.ListIncidents, listing, metadata=nobody)
            assert code == grpc.StatusCode.UNAUTHENTICATED
            assert sentence.startswith(("send a token", "the token is unknown"))
            code, _ = refusal(
                lambda *a, **m: next(doors.grpc.WatchChanges(*a, **m)), pb.WatchChangesRequest(), metadata=nobody
            )
            assert code == grpc.StatusCode.UNAUTHENTICATED
        assert len(doors.grpc.ListIncidents(listing, metadata=as_caller(reader), timeout=WAIT).incidents) == 3
        lacks = refusal(give_feedback := doors.grpc.GiveFeedback, give, metadata=as_caller(reader))
        assert lacks == (grpc.StatusCode.PERMISSION_DENIED, "the token 'reader' lacks the scope feedback")
        lacks = refusal(doors.grpc.ListIncidents, listing, metadata=as_caller(judge))
        assert lacks == (grpc.StatusCode.PERMISSION_DENIED, "the token 'judge' lacks the scope read")
        assert refusal(give_feedback, give, metadata=as_caller(judge))[0] == grpc.StatusCode.NOT_FOUND  # let in
        access.revoke("reader")
        code, _ = refusal(doors.grpc.ListIncidents, listing, metadata=as_caller(reader))
        assert code == grpc.StatusCode.UNAUTHENTICATED


def test_a_stream_that_is_taken_up_again_misses_none_and_repeats_none(doors, history):
    made = [change(f"b{n}", minute=n % 60) for n in range(600)]
    begun = threading.Event()

    def write():
        begun.wait()
        for at in range(0, len(made), 20):
            history.write(records(*made[at : at + 20], begin=4 + at), {("alerts", 0): 4 + at})

    writing = threading.Thread(target=write)
    writing.start()
    seen = []
    while len(seen) < 4 + len(made):
        stream = doors.grpc.WatchChanges(pb.WatchChangesRequest(after=seen[-1].number if seen else 0), timeout=WAIT)
        seen += [next(stream) for _ in range(min(151, 4 + len(made) - len(seen)))] if seen else [next(stream)]
        begun.set()
        stream.cancel()
    writing.join()
    assert [one.alert_id for one in seen] == ["a1", "a2", "a3", "a3", *(one["data"]["alert_id"] for one in made)]
    assert [one.number for one in seen] == sorted({one.number for one in seen})


def test_a_stream_says_what_comes_from_now_on_as_http_says_it(doors, history):
    stream = doors.grpc.WatchChanges(pb.WatchChangesRequest(), timeout=WAIT)
    stream.initial_metadata()  # it is there as soon as the service listens for this client
    history.write(records(change("a1", "resolved", 3), begin=4), {("alerts", 0): 4})
    news = next(stream)
    stream.cancel()
    told = {
        "alert_id": "a1",
        "state": "resolved",
        "entity": "pump-1",
        "kind": "point",
        "severity": "high",
        "field": "flow",
    }
    assert plain(news) == told | {"number": str(doors.parts.queries.last_change()), "time": "2025-10-09T09:03:00Z"}
    wait_for(lambda: doors.parts.feed.listeners == 0)
    assert refusal(lambda *a, **m: next(doors.grpc.WatchChanges(*a, **m)), pb.WatchChangesRequest(after=-1)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "after: Input should be greater than or equal to 0",
    )


def test_a_stream_after_a_larger_number_than_any_is_refused_with_the_number_to_go_on_from(doors):
    code, sentence = refusal(
        lambda *a, **m: next(doors.grpc.WatchChanges(*a, **m)), pb.WatchChangesRequest(after=1_000)
    )
    assert code == grpc.StatusCode.OUT_OF_RANGE
    assert sentence.endswith(f"and for changes after {doors.parts.queries.last_change()}")


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_stream_ends_when_its_token_does(filled, monkeypatch, end):
    monkeypatch.setattr("streamgauge.jobs.service.feed.CHECK", 0.1)
    access = Access(filled)
    token = access.make("reader", ["read"], 1)
    with Doors(filled) as doors:
        stream = doors.grpc.WatchChanges(pb.WatchChangesRequest(after=0), metadata=as_caller(token), timeout=WAIT / 3)
        assert [next(stream).alert_id for _ in range(4)] == ["a1", "a2", "a3", "a3"]
        end_token(access, filled, end)
        code, sentence = refusal(lambda **_: next(stream))
        assert (code, sentence) == (grpc.StatusCode.UNAUTHENTICATED, "the token is unknown or has expired")
        wait_for(lambda: doors.parts.feed.listeners == 0)


def test_health_follows_readiness_and_needs_no_token(filled):
    Access(filled).make("ann", None, None)
    with Doors(filled) as doors:
        health, status = HealthStub(doors.channel), doors.parts.intake.status

        def says(service=""):
            return health.Check(HealthCheckRequest(service=service), timeout=WAIT).status

        assert doors.http.get("/readyz").status_code == 503
        wait_for(lambda: says() == says("streamgauge.v1.Streamgauge") == HealthCheckResponse.NOT_SERVING)
        watch = health.Watch(HealthCheckRequest(), timeout=WAIT)
        assert next(watch).status == HealthCheckResponse.NOT_SERVING
        status.problem, status.caught_up = None, time.time() + 3_600
        assert doors.http.get("/readyz").status_code == 200
        assert next(watch).status == HealthCheckResponse.SERVING
        assert says("streamgauge.v1.Streamgauge") == HealthCheckResponse.SERVING
        status.problem = "the database does not answer"
        assert next(watch).status == HealthCheckResponse.NOT_SERVING
        watch.cancel()
        assert refusal(health.Check, HealthCheckRequest(service="other"))[0] == grpc.StatusCode.NOT_FOUND


def test_reflection_lists_the_services_and_describes_ours(doors):
    asked = [
        ServerReflectionRequest(list_services=""),
        ServerReflectionRequest(file_containing_symbol="streamgauge.v1.Streamgauge"),
    ]
    listed, described = ServerReflectionStub(doors.channel).ServerReflectionInfo(iter(asked), timeout=WAIT)
    names = {one.name for one in listed.list_services_response.service}
    ours = {"streamgauge.v1.Streamgauge", "grpc.health.v1.Health"}
    assert names == ours | {"grpc.reflection.v1alpha.ServerReflection"}
    assert pb.DESCRIPTOR.serialized_pb in described.file_descriptor_response.file_descriptor_proto


def test_the_service_opens_the_port_and_refuses_one_that_is_taken(tmp_path):
    database = connect(None, tmp_path)
    migrate(database)
    port = free_port()
    with (
        TestClient(application(settings(grpc_port=port), database), base_url=HERE),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        assert not StreamgaugeStub(channel).ListIncidents(pb.ListIncidentsRequest(), timeout=WAIT).incidents
        second = application(settings(grpc_port=port), database).state.parts
        with pytest.raises(InputError, match=f"service.grpc_port {port}"):
            asyncio.run(serving(second, bool).__aenter__())


def test_without_a_port_nothing_of_grpc_is_loaded():
    code = "import sys, streamgauge.jobs.service.app; print('grpc' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )


def wait_for(true):
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
