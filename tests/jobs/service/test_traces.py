"""Traces: a real receiver gets the spans of requests and of writes, and nothing waits for one that is away."""

from __future__ import annotations

import sys
from subprocess import run

import pytest
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from streamgauge.jobs.service.app import application
from streamgauge.jobs.service.database import connect, migrate
from streamgauge.jobs.service.intake import Intake
from streamgauge.jobs.service.traces import Traces
from streamgauge.models.errors import SettingsError

from tests.jobs.service.made import change, records
from tests.jobs.service.receiver import Receiver
from tests.jobs.service.test_api import HERE, settings


def spans(receiver):
    """Spans that came, by name, with their attributes as text."""
    found = {}
    for heard in receiver.heard:
        assert heard.path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(heard.body).resource_spans:
            assert "streamgauge" in str(resource.resource)
            found |= {one.name: str(one.attributes) for scope in resource.scope_spans for one in scope.spans}
    return found


@pytest.fixture
def receiver():
    collector = Receiver()
    yield collector
    collector.stop()


def test_requests_are_traced_without_their_secrets(receiver, tmp_path):
    engine = connect(None, tmp_path)
    migrate(engine)
    address = f"http://127.0.0.1:{receiver.port}"
    with TestClient(application(settings(traces=address), engine), base_url=HERE) as client:
        client.get("/v1/incidents", headers={"Authorization": "Bearer sg_very-secret"})
        client.get("/healthz")
    found = spans(receiver)
    assert set(found) == {"GET /v1/incidents"}
    assert "401" in found["GET /v1/incidents"]
    assert "very-secret" not in str(found)


def test_writes_are_traced(receiver, tmp_path):
    engine = connect(None, tmp_path)
    migrate(engine)
    traces = Traces(f"http://127.0.0.1:{receiver.port}/")
    intake = Intake(settings(), engine, tracer=traces.tracer)
    intake.write(records(change("a1"), change("a2")), {})
    traces.stop()
    assert "int_value: 2" in spans(receiver)["write history"]


def test_a_collector_that_is_away_delays_no_request(receiver, tmp_path):
    engine = connect(None, tmp_path)
    migrate(engine)
    address = f"http://127.0.0.1:{receiver.port}"
    receiver.stop()
    with TestClient(application(settings(traces=address), engine), base_url=HERE) as client:
        assert client.get("/v1/incidents").status_code == 200
    receiver.start()


def test_an_address_is_checked():
    with pytest.raises(SettingsError, match=r"service\.traces"):
        settings(traces="collector")


def test_without_an_address_nothing_of_the_exporter_is_loaded():
    code = "import sys, streamgauge.jobs.service.app; print('opentelemetry.sdk' in sys.modules)"
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
