"""The base of all settings and messages, and the kinds of values they hold."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, WithJsonSchema
from streamgauge.models.errors import SettingsError

T = TypeVar("T")


class Section(BaseModel):
    """Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def milliseconds(value: Any) -> int:
    """A duration, as 24h, in milliseconds; ValueError says what is allowed."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration is a number and a unit: 10 ms, 5 s, 2 m, 1 h or 30 d")
    return round(float(match[1]) * _UNITS[match[2]])


Duration = Annotated[
    int,
    BeforeValidator(milliseconds),
    WithJsonSchema({"type": ["string", "integer"], "pattern": r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*$"}),
]
Positive = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(gt=0, lt=1)]
StreamKind = Literal["series", "fields", "records"]


def parsed(adapter: TypeAdapter[T], text: str | bytes, what: str) -> T:
    """A message from its JSON; SettingsError says which key holds which value and what is allowed."""
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "message"
        said = str(first["msg"]).removeprefix("Value error, ")
        raise SettingsError(f"{what}: {where}: {said} (is {first['input']!r})") from error
