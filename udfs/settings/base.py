"""The base of all settings and messages, and the types of their values."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, WithJsonSchema
from streamgauge.models.errors import SettingsError

T = TypeVar("T")


class Section(BaseModel):
    """Base of all sections: values cannot be changed, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def milliseconds(value: Any) -> int:
    """Read a duration such as 24h; returns milliseconds.

    Raises
    ------
    ValueError
        The value is no duration. The message says what is allowed.
    """
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
    """Read a message from JSON; `what` names the message in errors.

    Raises
    ------
    SettingsError
        It names the key, its value, and what is allowed.
    """
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "message"
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise SettingsError(f"{what}: {where}: {reason} (is {first['input']!r})") from error
