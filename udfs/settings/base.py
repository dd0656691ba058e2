"""The base of all settings and messages, and the types of their values."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializationInfo,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from streamgauge.models.errors import SettingsError

T = TypeVar("T")


class Section(BaseModel):
    """Base of all sections: values cannot be changed, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Hidden:
    """Marks a key whose values may hold a secret, but are plain text. It needs ``repr=False``, too. Other secrets are SecretStr."""


# Context of values from or for a settings file. A duration has a unit there; elsewhere it is a number of milliseconds, too.
IN_FILE = {"in_file": True}
LONGEST = 36_500  # days of a duration
_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def milliseconds(value: Any) -> int:
    """Read a duration such as 24h; returns milliseconds.

    Raises
    ------
    ValueError
        The value is no duration. The message says what is allowed.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        found: float = value
    else:
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)?\s*", value) if isinstance(value, str) else None
        if match is None:
            raise ValueError("a duration is a number and a unit: 10 ms, 5 s, 2 m, 1 h or 30 d")
        if match[2] is None:
            raise _no_unit(value)
        found = float(match[1]) * _UNITS[match[2]]
    if not 0 <= found <= LONGEST * _UNITS["d"]:
        raise ValueError(f"a duration is at least 0, and at most {LONGEST} d")
    return round(found)


def duration_text(value: int) -> str:
    """Milliseconds as a duration with the largest unit without a remainder."""
    unit = next((unit for unit, length in reversed(_UNITS.items()) if value and value % length == 0), "ms")
    return f"{value // _UNITS[unit]} {unit}"


def _no_unit(value: Any) -> ValueError:
    *others, last = (f"{str(value).strip()} {unit}" for unit in _UNITS)
    return ValueError(f"{str(value).strip()} has no unit: write {', '.join(others)} or {last}")


def _from_file_or_code(value: Any, info: ValidationInfo) -> int:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if info.context == IN_FILE and number and value > 0:
        raise _no_unit(value)
    return milliseconds(value)


def _to_file_or_code(value: int, info: SerializationInfo) -> int | str:
    return duration_text(value) if info.context == IN_FILE else value


IN_FILE_SCHEMA = {"anyOf": [{"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)\s*$"}, {"const": 0}]}
Duration = Annotated[
    int,
    BeforeValidator(_from_file_or_code),
    PlainSerializer(_to_file_or_code),
    WithJsonSchema(IN_FILE_SCHEMA),
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
