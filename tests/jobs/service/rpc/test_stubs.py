"""The Python code of the .proto is the one that follows from it, and the .proto has all that HTTP has."""

from __future__ import annotations

import pytest
from streamgauge.jobs.service import answers
from streamgauge.jobs.service.api import Asked, AskedEntityScores, AskedIncident, AskedNotices, AskedQuality
from streamgauge.jobs.service.rpc import streamgauge_pb2
from streamgauge.jobs.service.rpc.server import SERVICE
from streamgauge.jobs.service.rpc.stubs import FOLDER, stubs
from streamgauge.jobs.service.rpc.verbs import VERBS
from streamgauge.jobs.service.score import AskedScores


def test_the_code_is_made_from_the_proto():
    made = stubs()
    assert set(made) == {"streamgauge_pb2.py", "streamgauge_pb2.pyi", "streamgauge_pb2_grpc.py"}
    for name, text in made.items():
        assert text == (FOLDER / name).read_text(), f"{name}: run `make proto`"


def test_each_method_is_a_verb_or_the_stream():
    assert set(VERBS) | {"WatchChanges"} == set(SERVICE.methods_by_name)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (answers.Incidents, "Incidents"),
        (answers.Incident, "Incident"),
        (answers.Change, "Change"),
        (answers.Explanation, "Explanation"),
        (answers.ExplainedField, "ExplainedField"),
        (answers.SeriesAround, "SeriesAround"),
        (answers.Value, "Value"),
        (answers.PeerValues, "PeerValues"),
        (answers.Said, "Said"),
        (answers.Entity, "Entity"),
        (answers.EntityScores, "EntityScores"),
        (answers.EventScore, "EventScore"),
        (answers.Notice, "Notice"),
        (answers.Scores, "Scores"),
        (answers.ScoredEvent, "ScoredEvent"),
        (AskedScores, "ScoreRequest"),
        (Asked, "ListIncidentsRequest"),
        (AskedEntityScores, "ListScoresRequest"),
        (AskedNotices, "ListNoticesRequest"),
        (AskedQuality, "GetQualityRequest"),
    ],
)
def test_messages_have_the_fields_of_http(model, message):
    assert set(model.model_fields) == set(streamgauge_pb2.DESCRIPTOR.message_types_by_name[message].fields_by_name)


def test_messages_that_nest_others_have_the_fields_of_http():
    whole = set(streamgauge_pb2.WholeIncident.DESCRIPTOR.fields_by_name)
    own = set(answers.WholeIncident.model_fields) - set(answers.Incident.model_fields)
    assert whole == own | {"incident"}
    asked = set(streamgauge_pb2.GetIncidentRequest.DESCRIPTOR.fields_by_name)
    assert asked == set(AskedIncident.model_fields) | {"alert_id"}
    feedback = set(streamgauge_pb2.GiveFeedbackRequest.DESCRIPTOR.fields_by_name)
    assert feedback == set(answers.Verdict.model_fields) | {"alert_id"}
