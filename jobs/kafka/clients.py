"""Kafka clients. Only this module creates consumers, producers and admin clients, with the security options of the settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import (
    AuthorizationError,
    KafkaError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from streamgauge.jobs.kafka.security import python_options
from streamgauge.jobs.settings.kafka import KafkaSettings, SecuritySettings, brokers
from streamgauge.models.errors import ClusterError

ANSWER_WITHIN = 8_000  # milliseconds in which a broker must answer when a client is made
CLOSING = 10  # seconds in which a producer may send its last records when it is closed
_NETWORK = logging.getLogger("kafka.net")  # where kafka-python says why it cannot connect


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Options for the clients of kafka-python that follow from the settings.

    Raises
    ------
    ClusterError
        A password or a file of `kafka.security` cannot be read.
    """
    options = {"bootstrap_servers": brokers(kafka.bootstrap), "bootstrap_timeout_ms": ANSWER_WITHIN}
    return options | python_options(kafka.security)


class NoBrokerError(ClusterError):
    """No Kafka broker answers at the address of the settings."""


class _Consumer(KafkaConsumer):  # type: ignore[misc]
    """A consumer that says so if it may not see a topic. That of kafka-python says then that there is no such topic.

    Parameters
    ----------
    kafka : KafkaSettings
    topics : str
    options : dict
    """

    def __init__(self, kafka: KafkaSettings, *topics: str, **options: Any) -> None:
        super().__init__(*topics, **client_options(kafka) | options)
        self._settings = kafka

    def partitions_for_topic(self, topic: str) -> set[int]:
        """Numbers of the partitions; empty if there is no such topic. Raises TopicAuthorizationFailedError if we may not see it."""
        found: set[int] = super().partitions_for_topic(topic)
        if not found:
            with admin(self._settings, f"look at the topic {topic!r}") as client:
                [seen] = client.describe_topics([topic])
                if seen["error_code"] == TopicAuthorizationFailedError.errno:
                    raise TopicAuthorizationFailedError(topic)
        return found


@contextmanager
def consumer(kafka: KafkaSettings, task: str, *topics: str, **options: Any) -> Iterator[KafkaConsumer]:
    """A consumer that reads committed records only, and does not commit offsets by itself. It is closed at the end of the block.

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
    NoBrokerError
        No broker answers within eight seconds.
    ClusterError
        The broker refuses the request, or does not answer any more.
    """
    chosen = {"enable_auto_commit": False, "isolation_level": "read_committed"} | options
    with _connected(kafka, task, lambda: _Consumer(kafka, *topics, **chosen)) as client:
        try:
            yield client
        finally:
            client.close()


@contextmanager
def producer(kafka: KafkaSettings, task: str, **options: Any) -> Iterator[KafkaProducer]:
    """A producer that waits until all replicas have a record. It is closed at the end of the block; see `consumer`."""
    chosen = {"acks": "all"} | options
    with _connected(kafka, task, lambda: KafkaProducer(**client_options(kafka) | chosen)) as client:
        try:
            yield client
        finally:
            client.close(CLOSING)


@contextmanager
def admin(kafka: KafkaSettings, task: str, **options: Any) -> Iterator[KafkaAdminClient]:
    """An admin client. It is closed at the end of the block; see `consumer`."""
    chosen = {"request_timeout_ms": 10_000} | options
    with _connected(kafka, task, lambda: KafkaAdminClient(**client_options(kafka) | chosen)) as client:
        try:
            yield client
        finally:
            client.close()


@contextmanager
def _connected(kafka: KafkaSettings, task: str, connect: Callable[[], Any]) -> Iterator[Any]:
    """A client whose errors are raised as ClusterError."""
    with _refusals() as refusals:
        try:
            client = connect()
        except KafkaError as error:
            if refusals.found or isinstance(error, AuthorizationError):
                raise ClusterError(_refused(kafka, str((refusals.found or [error])[0]))) from None
            if refusals.closed and kafka.security.protocol != "PLAINTEXT":
                raise ClusterError(
                    f"Kafka at {kafka.bootstrap} closes the connection while {_who(kafka.security)} signs in: the password or the "
                    "certificate may be wrong; check kafka.security"
                ) from None
            raise NoBrokerError(
                f"no Kafka broker answers at {kafka.bootstrap} ({type(error).__name__}): is it running? "
                "(`streamgauge up` starts a local one; kafka.bootstrap names another; kafka.security says how it is reached)"
            ) from error
    try:
        yield client
    except AuthorizationError as error:
        raise ClusterError(
            f"cannot {task} at {kafka.bootstrap}: the broker does not allow it to {_who(kafka.security)}: "
            f"{shorten(str(error), 160)} (docs/security.md lists the access rules that are needed)"
        ) from error
    except KafkaError as error:
        raise ClusterError(f"cannot {task} at {kafka.bootstrap}: {error}") from error


def _refused(kafka: KafkaSettings, why: str) -> str:
    return f"Kafka at {kafka.bootstrap} does not let in {_who(kafka.security)}: {why}; check kafka.security"


def _who(security: SecuritySettings) -> str:
    if security.sasl:
        return f"the user {security.username!r} ({security.protocol}, {security.mechanism})"
    named = "" if security.cert_file is None else f" with the certificate {security.cert_file}"
    return f"a client{named} ({security.protocol})"


class _Refusals(logging.Handler):
    """Keeps the errors that say that one side of a connection refused the other."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[BaseException] = []
        self.closed = False  # a broker that refuses somebody closes the connection, sometimes before its reason is read

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the error of a line of the log."""
        errors = [one for one in record.args or () if isinstance(one, BaseException)]
        kinds = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError)
        self.found += [error for error in errors if isinstance(error, kinds) or "[SSL" in str(error)]
        self.closed |= any("socket disconnected" in str(error) for error in errors)


@contextmanager
def _refusals() -> Iterator[_Refusals]:
    """What the brokers or we refused inside the block. kafka-python writes that to its log only, and goes on trying."""
    handler = _Refusals()
    _NETWORK.addHandler(handler)
    try:
        yield handler
    finally:
        _NETWORK.removeHandler(handler)
