"""Scoring events of clients: as the pipeline does it, and without a trace unless the service is asked to learn."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from fastapi.testclient import TestClient
from streamgauge.jobs.service.access import Access
from streamgauge.jobs.service.app import application
from streamgauge.jobs.service.database import connect, migrate
from streamgauge.jobs.service.scoring import EventScorer
from streamgauge.jobs.settings.loading import validated
from streamgauge.udfs.output.alert import score_of
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.scoring.scorer import Scorer

from tests.jobs.service.test_api import HERE
from tests.streams import SMALL, batch
from tests.udfs.pipeline.test_boundary import CHOSEN, HOSTILE, broken, usual

BEGIN = int(time.time()) * 1000 - 600_000  # the service takes events as if they arrived now
CHOICE = SMALL.model_dump(include={"detectors", "featurize", "calibration", "decide"})


def past(n=400):
    """Events of three pumps, as records of the topic."""
    random = np.random.default_rng(0)
    values = [at(i, f"pump-{i % 3}", flow=float(random.normal(50, 2)), heat=5.0 + i % 4) for i in range(n)]
    return batch(values, stamps=[value["ts"] for value in values])


def at(second, entity, **fields):
    """An event some seconds after the start of the stream."""
    return {"entity": entity, "ts": BEGIN + 1000 * second} | fields


ASKED = [
    at(400, "pump-1", flow=51.0, heat=6.0),
    at(401, "pump-1", flow=1e6, heat=6.0),
    at(402, "pump-2", flow=49.0, heat=None),
    at(403, "unknown", flow=49.0),
    {"flow": 3.0},
    "no object",
]


@pytest.fixture
def service(tmp_path):
    """A service that scores; it has learned the past of the topic, though no broker answers."""
    database = connect(None, tmp_path)
    migrate(database)
    chosen = {"kafka": {"bootstrap": "127.0.0.1:9"}, "service": {"score": True}} | CHOICE
    app = application(validated(chosen, "test"), database)
    app.state.parts.scoring.warm(past(), 1)
    client = TestClient(app, base_url=HERE)
    client.database = database
    return client


def ask(service, events=ASKED, **more):
    answer = service.post("/v1/score", json={"events": events} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_answers_are_those_of_the_pipeline(service):
    answers = ask(service)["events"]
    shard = Shard(service.app.state.parts.settings.pipeline(), saves=False)
    shard.process(past())
    result = shard.process(
        batch([json.dumps(event).encode() for event in ASKED], offset=1_000, stamps=[BEGIN + 500_000] * 6)
    )
    rows = np.concatenate(result.rows).tolist()
    columns = (np.concatenate(getattr(result, name)).tolist() for name in ("evidence", "judged", "anomalous"))
    scored = dict(zip(rows, zip(*columns, strict=True), strict=True))
    assert set(scored) == {0, 1, 2, 3}
    for row, (evidence, judged, anomalous) in scored.items():
        answer = answers[row]
        assert answer["outcome"] == ("scored" if judged else "unjudged")
        assert answer["score"] == (score_of(evidence) if judged else None)
        assert answer["tail_probability"] == (math.exp(-evidence) if judged else None)
        assert answer["anomalous"] == anomalous
    [alert] = [json.loads(text)["data"] for _, text in result.alerts]
    told = answers[1]
    assert [answer["opens"] for answer in answers] == [False, True, False, False, False, False]
    assert (told["kind"], told["severity"], told["field"]) == (alert["kind"], alert["severity"], "flow")
    assert (told["actual"], told["expected"]) == (alert["actual"]["flow"], alert["expected"]["flow"])
    letters = sorted((json.loads(text) for _, text in result.dead_letters), key=lambda letter: letter["offset"])
    assert [(a["reason"], a["message"]) for a in answers[4:]] == [(one["reason"], one["message"]) for one in letters]


def test_what_is_known_of_each_entity_and_of_the_topic_is_said(service):
    answer = ask(service)
    assert [(one["entity"], one["known"]) for one in answer["events"][2:5]] == [
        ("pump-2", 133),
        ("unknown", 0),
        (None, 0),
    ]
    assert (answer["replayed"], answer["warm"]) == (400, True)


def test_a_record_of_several_events_has_an_answer_for_each_and_a_deletion_says_that_it_holds_none(service):
    one, far, two = ASKED[0], ASKED[1], ASKED[2]
    deleted = {"op": "d", "before": two, "after": None, "source": {"connector": "x"}, "ts_ms": BEGIN}
    answers = ask(service, [deleted, [one, far, {"flow": 3.0}], two])["events"]
    assert [(answer["record"], answer["outcome"]) for answer in answers] == [
        (0, "skipped"),
        (1, "scored"),
        (1, "scored"),
        (1, "dead_letter"),
        (2, "scored"),
    ]
    apart = ask(service, [one, far, {"flow": 3.0}, two])["events"]
    same = ("entity", "known", "score", "anomalous", "kind", "field", "reason")
    assert [[answer[key] for key in same] for answer in answers[1:]] == [
        [answer[key] for key in same] for answer in apart
    ]
    learned = ask(service, [deleted, [one, {"flow": 3.0}]], learn=True)["events"]
    assert [answer["learned"] for answer in learned] == [False, True, False]


def test_scoring_twice_gives_the_same_unless_it_learns(service):
    first = ask(service)
    assert ask(service) == first
    assert not any(event["learned"] for event in first["events"])
    learned = ask(service, learn=True)["events"]
    assert [event["learned"] for event in learned] == [True] * 4 + [False] * 2
    assert [event | {"learned": False} for event in learned] == first["events"]
    after = ask(service)["events"]
    assert [event["known"] for event in after] == [
        event["known"] + n for event, n in zip(first["events"], (2, 2, 1, 1, 0, 0), strict=True)
    ]
    assert after[0]["score"] != first["events"][0]["score"]


def test_events_of_a_request_are_in_order_and_each_sees_those_before_it(service):
    answers = ask(service, [at(400 + i, "pump-1", flow=60.0, heat=6.0) for i in range(30)])["events"]
    assert len({answer["score"] for answer in answers}) > 5
    assert sum(answer["opens"] for answer in answers) <= 1


@pytest.mark.parametrize("record", [one for one in HOSTILE if not isinstance(one, bytes)], ids=range(19))
def test_each_hostile_event_gets_an_answer(record):
    shard = Shard(CHOSEN, saves=False)
    scorer = EventScorer(shard, 4)
    scorer.learn(batch(usual()))
    payloads = [json.dumps(one).encode() for one in (*usual(3), record, *usual(3))]
    for learn in (False, True):
        answers = scorer.score(payloads, learn)
        assert len(answers) == 7
        assert {answer["outcome"] for answer in answers} <= {"scored", "unjudged", "late", "dead_letter"}
        assert "internal" not in {answer.get("reason") for answer in answers}
        json.dumps(answers, allow_nan=False).encode()


def test_hostile_bytes_get_an_answer_each():
    scorer = EventScorer(Shard(CHOSEN, saves=False), 4)
    raw = [one for one in HOSTILE if isinstance(one, bytes)]
    answers = scorer.score([*raw, b"", b"\xff"])
    assert len(answers) == len(raw) + 2
    assert [answer["reason"] for answer in answers[-2:]] == ["empty", "not_json"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"events": []}',
        b'{"events": {}}',
        b'{"events": [1], "learn": 7}',
        b'{"events": [1], "more": 1}',
        b'{"events": [' + b"[" * 20_000 + b"]" * 20_000 + b"]}",
        b'{"events": [' + b"1" * 5_000 + b"]}",
        b'{"events": [' + b",".join([b"1"] * 1_001) + b"]}",
        b"\xff\xfe",
    ],
)
def test_what_is_no_request_is_refused(service, body):
    answer = service.post("/v1/score", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_odd_values_of_json_get_an_answer_each(service):
    odd = b'{"events": [{"entity": "pump-1", "flow": NaN}, {"entity": "\\ud800", "flow": 1}, null, {"entity": "a", "x": 1e999}]}'
    answer = service.post("/v1/score", content=odd, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
    assert [one["outcome"] for one in answer.json()["events"]] == ["dead_letter"] * 4


def test_an_event_on_which_a_stage_fails_is_said_and_the_others_are_scored(monkeypatch):
    scorer = EventScorer(Shard(SMALL, saves=False), 1)
    scorer.learn(past())
    payloads = [json.dumps(one).encode() for one in (at(400, "pump-1", flow=50.0), at(401, "bad", flow=1.0))]
    alone = scorer.score(payloads[:1])
    monkeypatch.setattr(Scorer, "score", broken(Scorer.score, {"bad"}))
    for learn in (False, True):
        answers = scorer.score(payloads, learn)
        assert answers[0] | {"learned": False} == alone[0] | {"learned": False}
        assert (answers[1]["outcome"], answers[1]["reason"]) == ("dead_letter", "internal")
    assert answers[0]["learned"]


def test_only_who_may_control_lets_the_service_learn(service):
    access = Access(service.database)
    reader, owner, judge = (
        access.make(name, [scope], None) for name, scope in (("r", "read"), ("c", "control"), ("j", "feedback"))
    )
    both = access.make("both", ["read", "control"], None)
    protected = TestClient(application(service.app.state.parts.settings, service.database), base_url=HERE)
    protected.app.state.parts.scoring.warm(past(), 1)

    def status(token, **more):
        headers = {"Authorization": f"Bearer {token}"}
        return protected.post("/v1/score", json={"events": ASKED} | more, headers=headers).status_code

    assert [status(token) for token in ("none", reader, owner, judge, both)] == [401, 200, 403, 403, 200]
    assert [status(token, learn=True) for token in (reader, owner, both)] == [403, 403, 200]


def test_before_the_topic_was_read_and_without_the_setting_it_is_said_why(tmp_path):
    database = connect(None, tmp_path)
    migrate(database)
    kafka = {"bootstrap": "127.0.0.1:9"}
    for score, status, words in ((True, 503, "events cannot be scored yet"), (False, 501, "service.score is false")):
        app = application(validated({"kafka": kafka, "service": {"score": score}}, "test"), database)
        answer = TestClient(app, base_url=HERE).post("/v1/score", json={"events": ASKED})
        assert (answer.status_code, words in answer.json()["detail"]) == (status, True)
