"""How to reach Kafka, and the names of the job's topics.

These settings have a module of their own, because Flink's own thread imports them together with the job's operator. That thread must not
import numerical libraries (docs/adr/002).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from streamgauge.udfs.settings.base import Hidden, Section
from streamgauge.udfs.settings.topics import MOST_NAMES, EventTopics

NAME = r"^[a-zA-Z0-9._-]{1,249}$"
Topic = Annotated[str, Field(pattern=NAME)]
EVENTS = "events"
# What Java and Python read alike: characters of names, . | * + ? ( ) ^ $, groups, classes of characters, and numbers of repeats.
COMMON = re.compile(
    r"(?:[A-Za-z0-9_.|*+?^$)-]|\((?:\?[:!=]|(?!\?))|\\[.dw-]|\[\^?(?:[A-Za-z0-9_.-]|\\[.dw-])+\]|\{\d+(?:,\d*)?\})+"
)
# Flink's processes work in folders of their own, so a path is full. Kafka's Java client splits it at these characters.
FullPath = Annotated[str, Field(pattern=r"^/[^:{}\x00-\x1f]*[^:{}\x00-\x1f/]$")]
_BROKER = re.compile(r"(?:[\w.%-]*://)?\[?[\w.%:-]+\]?:([0-9]{1,5})", re.ASCII)
# Properties of the Java client that follow from `kafka.security`, which are refused among the others.
SECURITY_PROPERTIES = (
    "security.protocol",
    "sasl.",
    "ssl.",
    "config.providers",
)


class TopicSettings(Section):
    """Names of the Kafka topics."""

    events: str | tuple[str, ...] = Field(EVENTS)
    events_pattern: str | None = Field(
        None,
        max_length=1000,
        description="Instead of `events`: a regular expression for whole names. Topics that appear later are read, too.",
    )
    alerts: Topic = Field("alerts")
    dead_letters: Topic = Field("dead-letters")
    late: Topic = Field("late")
    scores: Topic = Field("scores")
    control: Topic = Field("control")
    notices: Topic = Field(
        "notices",
        description="Changes of the schema, groups of incidents, answers, quality, steps of models.",
    )
    feedback: Topic = Field("feedback", description="Feedback: what people say of alerts.")
    retrain_requests: Topic = Field("retrain-requests", description="Models whose data have drifted.")

    @field_validator("events")
    @classmethod
    def _are_names(cls, events: str | tuple[str, ...]) -> str | tuple[str, ...]:
        names = (events,) if isinstance(events, str) else events
        if not names or not all(re.fullmatch(NAME, name) for name in names):
            raise ValueError("must be the name of a topic, or a list of names: 1 to 249 letters, digits, dots, _ and -")
        if len(names) > MOST_NAMES:
            raise ValueError(
                f"{len(names)} names, but at most {MOST_NAMES} are allowed; events_pattern takes more topics"
            )
        return events

    @field_validator("events_pattern")
    @classmethod
    def _readable(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        allowed = "allowed are characters of names, . | * + ? ^ $, groups, [a-z], {2,3}, (?:...), (?!...), and \\. \\- \\d \\w"
        if not COMMON.fullmatch(pattern):
            raise ValueError(f"Java and Python may read this expression differently: {allowed}")
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"this is no regular expression ({error}): {allowed}") from None
        return pattern

    @model_validator(mode="after")
    def _distinct(self) -> TopicSettings:
        if self.events_pattern is not None and self.events != EVENTS:
            raise ValueError("events and events_pattern exclude each other: leave one of them out")
        topics, own = self.event_topics, self.own
        names = [*topics.names, *own.values()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"each topic needs a name of its own, {', '.join(twice)} is used twice")
        matched = [f"{name} ({key})" for key, name in own.items() if topics.matches(name)]
        if matched:
            raise ValueError(
                f"events_pattern {self.events_pattern!r} matches {', '.join(matched)}, which the job itself writes or reads: "
                "choose a narrower pattern, such as one that begins with (?!alerts|scores)"
            )
        return self

    @property
    def own(self) -> dict[str, str]:
        """All topics but those of events, by key."""
        values: dict[str, Any] = self.model_dump(exclude={"events", "events_pattern"})
        return values

    def prefixed(self, prefix: str) -> dict[str, str]:
        """Topics that only one run uses, by key: one topic of events, and its own, with the prefix before their names."""
        return {key: f"{prefix}-{name}" for key, name in {"events": EVENTS, **self.own}.items()}

    @property
    def event_topics(self) -> EventTopics:
        """The topics of events."""
        if self.events_pattern is not None:
            return EventTopics((), self.events_pattern)
        return EventTopics((self.events,) if isinstance(self.events, str) else self.events)


class SecuritySettings(Section):
    """How to reach brokers that ask for a password or a certificate. Passwords are no settings, because settings travel with the job."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT",
        description="SSL encrypts, SASL asks for a user and a password; SASL_PLAINTEXT sends both unencrypted.",
    )
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="How the password is proved, with SASL."
    )
    username: str | None = Field(None, pattern=r"^[^\"\\\\${}\x00-\x1f]+$", description="User, with SASL.")
    password_env: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Name of the environment variable with the password. It must be set for the JobManager, each TaskManager, and "
        "the commands.",
    )
    password_file: FullPath | None = Field(
        None,
        description="File with the password instead, on the same machines. It is read anew for each connection that is made.",
    )
    ca_file: FullPath | None = Field(
        None,
        description="Certificates (PEM) that the brokers' are checked with; null is those of the system, and of Java.",
    )
    cert_file: FullPath | None = Field(
        None, description="Our own certificate (PEM), with those between it and the authority's, for mutual TLS."
    )
    key_file: FullPath | None = Field(
        None, description="Its key: PEM with PKCS #8, not encrypted (`BEGIN PRIVATE KEY`), readable for us only."
    )

    @property
    def sasl(self) -> bool:
        """Whether a user and a password are asked for."""
        return self.protocol.startswith("SASL_")

    @property
    def encrypted(self) -> bool:
        """Whether connections are encrypted."""
        return self.protocol.endswith("SSL")

    @model_validator(mode="after")
    def _fits(self) -> SecuritySettings:
        if self.password_env is not None and self.password_file is not None:
            raise ValueError("only one of password_env and password_file may be set")
        password = self.password_env or self.password_file
        for key, value in (("mechanism", self.mechanism), ("username", self.username), ("password_env", password)):
            if self.sasl and value is None:
                other = " or password_file" if key == "password_env" else ""
                raise ValueError(
                    f"protocol {self.protocol} needs mechanism, username, and a password: set {key}{other}"
                )
            if not self.sasl and value is not None:
                name = "password_file" if key == "password_env" and self.password_env is None else key
                raise ValueError(f"{name} needs protocol SASL_SSL or SASL_PLAINTEXT (is {self.protocol})")
        for key in ("ca_file", "cert_file", "key_file"):
            if not self.encrypted and getattr(self, key) is not None:
                raise ValueError(f"{key} needs protocol SSL or SASL_SSL (is {self.protocol})")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file needs key_file, and key_file needs cert_file")
        return self


def brokers(bootstrap: str) -> list[str]:
    """The brokers that `kafka.bootstrap` names. Raises ValueError if one is not HOST:PORT, which Kafka's Java client demands."""
    found = [part.strip() for part in bootstrap.split(",") if part.strip()]
    ports = [match[1] if (match := _BROKER.fullmatch(broker)) else "0" for broker in found]
    if not found or not all(1 <= int(port) <= 65_535 for port in ports):
        raise ValueError("must be HOST:PORT of a broker, or of several with commas; a port is 1 to 65535")
    return found


class KafkaSettings(Section):
    """Where events come from and alerts go to."""

    bootstrap: str = Field("127.0.0.1:9092", min_length=1, description="Brokers, separated by commas.")
    group: str = Field("streamgauge", min_length=1, description="Consumer group; also the prefix of transactions.")
    start: Literal["earliest", "latest", "committed"] = Field(
        "latest", description="Where to begin without saved state; committed falls back to earliest."
    )
    topics: TopicSettings = TopicSettings()
    security: SecuritySettings = SecuritySettings()
    properties: Annotated[dict[str, str], Hidden] = Field(
        default_factory=dict,
        repr=False,
        description="Further properties of Flink's Kafka clients. They are part of the job, so no secret belongs here; those "
        "of security follow from `security`.",
    )

    @field_validator("bootstrap")
    @classmethod
    def _has_ports(cls, bootstrap: str) -> str:
        brokers(bootstrap)
        return bootstrap

    @model_validator(mode="after")
    def _one_security(self) -> KafkaSettings:
        for key in self.properties:
            if key.startswith(SECURITY_PROPERTIES):
                raise ValueError(
                    "properties of security (security.*, sasl.*, ssl.*) do not belong into kafka.properties, which are part of the job: "
                    "set kafka.security (docs/security.md)"
                )
        return self
