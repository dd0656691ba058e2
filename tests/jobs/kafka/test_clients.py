"""One place makes the clients of Kafka, with the security that the settings ask for."""

from __future__ import annotations

import ast
import socket
from pathlib import Path

import pytest
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.models.errors import ClusterError

JOBS = Path(__file__).parents[3] / "jobs"
CLIENTS = {"KafkaConsumer", "KafkaProducer", "KafkaAdminClient"}


def made(path: Path) -> set[str]:
    """Kafka clients that a file makes by itself."""
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return CLIENTS & {getattr(name, "id", getattr(name, "attr", "")) for name in calls}


def test_no_other_file_makes_a_client():
    assert {path.name for path in JOBS.rglob("*.py") if made(path)} == {"clients.py"}


def test_java_names_of_properties_become_options_of_the_python_clients():
    properties = {
        "security.protocol": "SASL_SSL",
        "sasl.password": "x",
        "ssl.ca.location": "ca.pem",
        "fetch.min.bytes": "1",
    }
    assert clients.client_options(KafkaSettings(bootstrap="a:1,b:2", properties=properties)) == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "SASL_SSL",
        "sasl_plain_password": "x",
        "ssl_cafile": "ca.pem",
    }


@pytest.mark.parametrize("client", [clients.consumer, clients.producer, clients.admin])
def test_a_broker_that_does_not_answer_is_named_with_what_to_do(client):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    waits = {} if client is clients.admin else {"bootstrap_timeout_ms": 500}
    with (
        pytest.raises(ClusterError, match=f"no Kafka broker answers at {address} .*`streamgauge up`"),
        client(KafkaSettings(bootstrap=address), "read", **waits),
    ):
        pass
