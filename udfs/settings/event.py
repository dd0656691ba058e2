"""Settings of how an event is read."""

from __future__ import annotations

import re
from typing import Any, Literal, Self, get_args

from pydantic import ConfigDict, Field, field_validator, model_validator
from streamgauge.udfs.settings.base import Duration, Section
from streamgauge.udfs.settings.local_time import TimeZone
from streamgauge.udfs.settings.registry import RegistrySettings

KEY = "$key"  # stands for the record's key
ENTITY, TIME = "entity", "ts"  # fields of entity and time, unless the settings name others
MISSING = ("", "-", "--", "?", "n/a", "na", "<na>", "#n/a", "nan", "-nan", "nil", "none", "null", "undefined")
Wrapper = Literal["auto", "json", "debezium", "connect", "cloudevents", "otlp", "telegraf", "prometheus"]
WithRegistry = Literal["avro", "protobuf", "json_schema"]
_PLACE = re.compile(r"\$\{([^{}]+)\}")


def _or_type(schema: dict[str, Any]) -> None:
    """Let the schema allow a type alone, too."""
    whole = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string", "enum": ["number", "text"]}, whole]


class FieldSettings(Section):
    """How a declared field is read. A type alone is enough: `{amount: number}`."""

    model_config = ConfigDict(json_schema_extra=_or_type)

    type: Literal["number", "text"] = Field(description="A value of another type is bad input: the event is set aside.")
    decimal: Literal[".", ","] = Field(".", description="Decimal sign of numbers that are written as text.")
    thousands: Literal[".", ",", "'", " ", "_"] | None = Field(
        None, description="Sign between groups of three digits of numbers that are written as text."
    )
    unit: str = Field("", description="Unit that may follow numbers that are written as text, such as ms or %.")
    missing: tuple[float, ...] | None = Field(
        None,
        description="Numbers that mean no reading, such as -9999. With null, they are found by evidence; with [], none is.",
    )

    @model_validator(mode="before")
    @classmethod
    def _type_alone(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in ("number", "text"):
            raise ValueError("allowed is number or text, or a section with type, decimal, thousands, unit and missing")
        return {"type": value}

    @model_validator(mode="after")
    def _signs_differ(self) -> Self:
        if self.thousands == self.decimal:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}: they must differ")
        return self


class EventSettings(Section):
    """How an event is read."""

    format: Literal[Wrapper, WithRegistry] = Field(
        "auto",
        description="What a record holds. auto: JSON, and each record is looked at for the shapes of the wrappers, such as debezium.",
    )
    registry: RegistrySettings | None = Field(None, description="Schema registry of avro, protobuf and json_schema.")
    deletes: Literal["skip", "read"] = Field(
        "skip",
        description="Records of a change log that delete a row, and records without a value: skipped, or read as events (the row before).",
    )
    entity: str | tuple[str, ...] = Field(
        ENTITY,
        min_length=1,
        description="What names the entity: a field, several ([host, metric]), a text with fields (${region}/${host}), or $key.",
    )
    time: str | None = Field(
        TIME,
        description="Field with the event time (ISO 8601, RFC 1123 or epoch); where absent, and with null, Kafka's timestamp.",
    )
    zone: TimeZone = Field("UTC", description="Time zone of times that name none.")
    metric: str | None = Field(
        None,
        description="With one measurement a record: field that holds the name of the measurement; `value` goes with it.",
    )
    value: str | None = Field(None, description="With one measurement a record: field that holds the measured value.")
    fields: dict[str, FieldSettings] = Field(
        default_factory=dict,
        description="Declared fields: another type in one of these is bad input. The type of others follows from their values.",
    )
    missing: tuple[str, ...] = Field(MISSING, description="Texts that mean a missing value, in any case of letters.")
    rename: dict[str, str] = Field(
        default_factory=dict,
        description="Old or new names of fields, by that name: {lat_ms: latency} reads lat_ms as latency.",
    )
    context: tuple[str, ...] = Field(
        (),
        description="Fields whose values are the situation of an entity, such as travelling; what is usual is kept for each situation.",
    )
    ignore: tuple[str, ...] = Field((), description="Fields never to look at; * stands for any characters.")
    max_fields: int = Field(
        1024,
        ge=1,
        le=4096,
        description="Numeric fields looked at, and fields of other types kept in mind; further ones are ignored.",
    )
    max_bytes: int = Field(1_000_000, ge=100, description="Largest payload, compressed or not.")
    max_past: Duration = Field(30_672_000_000, ge=0, description="Event time may be this far before Kafka's timestamp.")
    max_future: Duration = Field(86_400_000, ge=0, description="Event time may be this far after Kafka's timestamp.")
    late_after: Duration = Field(
        86_400_000, ge=0, description="An event that is older than the newest of its entity by more than this is late."
    )
    out_of_order: Duration = Field(
        5_000,
        ge=0,
        description="With windows: how far event time is behind the newest event. A window ends when event time has passed its end.",
    )
    amend_within: Duration = Field(
        600_000,
        ge=0,
        description="With windows: an event behind event time by at most this corrects windows and their alerts; an older one is late.",
    )

    @field_validator("entity")
    @classmethod
    def _can_fit(cls, entity: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(entity, str):
            if entity != KEY and entity.startswith("$") and not _PLACE.search(entity):
                raise ValueError("$key is the record's key; a text with fields is written like ${region}/${host}")
            if entity.count("${") != len(_PLACE.findall(entity)):
                raise ValueError("each ${ must be followed by the name of a field and }")
        elif not all(entity):
            raise ValueError("the name of a field is empty")
        return entity

    @model_validator(mode="after")
    def _has_registry(self) -> Self:
        if self.format == "protobuf" and self.registry is None:
            raise ValueError("event.format is protobuf, which needs a schema registry: set event.registry.url")
        if self.registry is not None and self.format not in get_args(WithRegistry):
            raise ValueError(
                f"event.registry is set, but event.format is {self.format}: write avro, protobuf or json_schema"
            )
        return self

    @model_validator(mode="after")
    def _both_of_a_pair(self) -> Self:
        if (self.metric is None) != (self.value is None):
            given, other = ("metric", "value") if self.value is None else ("value", "metric")
            raise ValueError(f"event.{given} is set, so event.{other} must be set, too: both name a field")
        if self.metric is not None and self.metric == self.value:
            raise ValueError(f"event.metric and event.value are both {self.metric!r}: they must name two fields")
        return self

    @property
    def entity_fields(self) -> tuple[str, ...]:
        """The fields that name the entity; `KEY` stands for the record's key."""
        if isinstance(self.entity, tuple):
            return self.entity
        return tuple(_PLACE.findall(self.entity)) or (self.entity,)

    @property
    def needs_keys(self) -> bool:
        """Whether the keys of records are read."""
        return KEY in self.entity_fields

    def with_one_name(self) -> EventSettings:
        """The same settings for events in plain JSON that are made here: one field names the entity, and one holds the time."""
        event = self.model_copy(update={"format": "json", "registry": None})
        one = len(self.entity_fields) == 1 and self.entity == self.entity_fields[0] != KEY
        changes = {} if one else {"entity": ENTITY}
        changes |= {} if self.time is not None else {"time": TIME}
        return event.model_copy(update=changes) if changes else event

    def of_text(self) -> EventSettings:
        """The same settings for records that are written as text: without a schema registry."""
        return (
            self
            if self.registry is None and self.format != "avro"
            else self.model_copy(update={"format": "auto", "registry": None})
        )

    def asked_once(self) -> EventSettings:
        """The same settings for a command that a person waits for: a registry that is away is asked once."""
        if self.registry is None:
            return self
        return self.model_copy(update={"registry": self.registry.model_copy(update={"retry_for": 0})})

    @property
    def plain(self) -> bool:
        """Whether records are read as plain JSON only, or may be."""
        return self.format in ("auto", "json")
