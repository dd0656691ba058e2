"""Kafka clients. Only this module creates consumers, producers and admin clients, with the security options of the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.models.errors import ClusterError

# Flink's connector uses the property names of Java clients; kafka-python has names of its own
_PYTHON_NAMES = {
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "ssl.ca.location": "ssl_cafile",
    "ssl.certificate.location": "ssl_certfile",
    "ssl.key.location": "ssl_keyfile",
}
CLOSING = 10  # seconds in which a producer may send its last records when it is closed


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Options for the clients of kafka-python that follow from the settings."""
    known = {_PYTHON_NAMES[k]: v for k, v in kafka.properties.items() if k in _PYTHON_NAMES}
    return {"bootstrap_servers": kafka.bootstrap.split(","), **known}


@contextmanager
def consumer(kafka: KafkaSettings, task: str, *topics: str, **options: Any) -> Iterator[KafkaConsumer]:
    """A consumer that does not commit offsets by itself. It is closed at the end of the block.

    Parameters
    ----------
    kafka : KafkaSettings
    task : str
        What the client is for, such as "read the topic 'alerts'". If Kafka fails, the error says that this cannot be done.
    topics : str
        Topics to subscribe to.
    options : dict
        Further options of kafka-python.

    Raises
    ------
    ClusterError
        The broker does not answer, or refuses the request.
    """
    chosen = {"enable_auto_commit": False} | options
    with _connected(kafka, task, lambda: KafkaConsumer(*topics, **client_options(kafka), **chosen)) as client:
        try:
            yield client
        finally:
            client.close()


@contextmanager
def producer(kafka: KafkaSettings, task: str, **options: Any) -> Iterator[KafkaProducer]:
    """A producer that waits until all replicas have a record. It is closed at the end of the block; see `consumer`."""
    chosen = {"acks": "all"} | options
    with _connected(kafka, task, lambda: KafkaProducer(**client_options(kafka), **chosen)) as client:
        try:
            yield client
        finally:
            client.close(CLOSING)


@contextmanager
def admin(kafka: KafkaSettings, task: str, **options: Any) -> Iterator[KafkaAdminClient]:
    """An admin client that waits at most 8 s for the broker. It is closed at the end of the block; see `consumer`."""
    chosen = {"request_timeout_ms": 10_000, "bootstrap_timeout_ms": 8_000} | options
    with _connected(kafka, task, lambda: KafkaAdminClient(**client_options(kafka), **chosen)) as client:
        try:
            yield client
        finally:
            client.close()


@contextmanager
def _connected(kafka: KafkaSettings, task: str, connect: Callable[[], Any]) -> Iterator[Any]:
    """A client whose errors are raised as ClusterError."""
    try:
        client = connect()
    except KafkaError as error:
        raise ClusterError(
            f"no Kafka broker answers at {kafka.bootstrap} ({type(error).__name__}): is it running? "
            "(`streamgauge up` starts a local one; kafka.bootstrap names another)"
        ) from error
    try:
        yield client
    except KafkaError as error:
        raise ClusterError(f"cannot {task} at {kafka.bootstrap}: {error}") from error
