"""The API answers any request as its description says: Schemathesis makes requests from the OpenAPI document."""

from __future__ import annotations

import gc

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from streamgauge.jobs.service.app import application
from streamgauge.jobs.service.database import connect, migrate
from streamgauge.jobs.service.history import History
from streamgauge.jobs.settings.kafka import TopicSettings

from tests.jobs.service import test_api
from tests.jobs.service.made import change, records, said

HOST = {"Host": "127.0.0.1:8080"}
# What a cursor is, and that a verdict "ignore" needs a time, is told in words only: such requests may be refused. And without Kafka and
# without scoring, 503 and 501 are the right answers.
NOT_CHECKED = [schemathesis.checks.positive_data_acceptance, schemathesis.checks.not_a_server_error]


@pytest.fixture
def no_collection():
    """No garbage is collected: while it is, `ast.parse` of Python 3.11 may fail, which Hypothesis calls to describe what it draws."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def api(tmp_path):
    """The description of a service with two incidents, without Kafka and without limits."""
    engine = connect(None, tmp_path)
    migrate(engine)
    history = History(engine, TopicSettings())
    history.write(records(change("a1"), change("a1", "resolved", 3), change("a2", entity="pump-2")), {})
    history.write(records(said(why="backup"), topic="feedback"), {})
    app = application(test_api.settings(limits=dict.fromkeys(("requests", "feedback", "sign_in"))), engine)
    yield schemathesis.openapi.from_asgi("/v1/openapi.json", app, headers=HOST)
    engine.dispose()


def test_every_request_and_every_answer_has_an_example_that_its_schema_allows(api):
    described = api.raw_schema
    schemas, seen = described["components"]["schemas"], set()
    for operation in (one for path in described["paths"].values() for one in path.values()):
        for part in (operation.get("requestBody", {}), *operation["responses"].values()):
            for content in part.get("content", {}).values():
                schema = content.get("schema", {})
                named = schema.get("items", schema).get("$ref")
                seen |= {named.rpartition("/")[2]} if named else set()
    assert {"Incidents", "AskedScores", "Problem", "Model"} <= seen
    for name in sorted(seen):
        [example] = schemas[name]["examples"]
        whole = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
        Draft202012Validator(whole).validate(example)
        assert set(example) <= set(schemas[name]["properties"]), name


# The client of Kafka draws random waits while Hypothesis draws requests.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.usefixtures("no_collection")
def test_any_request_is_answered_as_described(api):
    operations = [found.ok() for found in api.exclude(path="/v1/stream").get_all_operations()]  # the stream never ends
    assert len(operations) == 10
    for operation in operations:

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case):
            answer = case.call(headers=HOST)
            case.validate_response(answer, excluded_checks=NOT_CHECKED)
            assert answer.status_code != 500

        ask()
