"""One module makes all Kafka clients, with the security options of the settings."""

from __future__ import annotations

import ast
import socket
from pathlib import Path

import pytest
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.settings.kafka import KafkaSettings

ROOT = Path(__file__).parents[3]
FOLDERS = ("jobs", "benchmarks", "examples")
CLIENTS = {"KafkaConsumer", "KafkaProducer", "KafkaAdminClient"}


def made(path: Path) -> set[str]:
    """The Kafka clients that a file makes itself."""
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return CLIENTS & {getattr(name, "id", getattr(name, "attr", "")) for name in calls}


def test_no_other_file_makes_a_client():
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert [path.name for path in files if made(path)] == ["clients.py"]


def test_properties_of_flinks_clients_are_no_options_of_these():
    kafka = KafkaSettings(bootstrap="a:1,b:2", properties={"fetch.min.bytes": "1"})
    options = {"bootstrap_servers": ["a:1", "b:2"], "bootstrap_timeout_ms": 8_000, "security_protocol": "PLAINTEXT"}
    assert clients.client_options(kafka) == options


@pytest.mark.parametrize("client", [clients.consumer, clients.producer, clients.admin])
def test_a_broker_that_does_not_answer_is_named_with_what_to_do(client):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (
        pytest.raises(clients.NoBrokerError, match=f"no Kafka broker answers at {address} .*`streamgauge up`"),
        client(KafkaSettings(bootstrap=address), "read", bootstrap_timeout_ms=500),
    ):
        pass
