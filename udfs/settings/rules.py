"""Business rules: expressions in the Common Expression Language that no event may fulfil.

An expression can only read the fields of the event and call functions of the language.
"""

from __future__ import annotations

import importlib
from typing import Any, Literal

from pydantic import Field, field_validator
from streamgauge.udfs.settings.base import Section

_FUNCTIONS = {
    "size",
    "matches",
    "contains",
    "startsWith",
    "endsWith",
    "int",
    "double",
    "string",
    "bool",
    "duration",
    "timestamp",
    "type",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "dyn",
    "uint",
    "bytes",
}
LONGEST = 2000


class Rule(Section):
    """A business rule: an event for which the expression is true violates it."""

    id: str = Field(min_length=1)
    when: str = Field(
        min_length=1,
        max_length=LONGEST,
        description="In the Common Expression Language, over the event's fields, `hour` (0 to 23) and `weekday` (1 is Monday) in UTC: "
        '"amount > 1000 && country != home". An event without one of the fields violates nothing.',
    )
    severity: Literal["low", "medium", "high", "critical"] = "high"

    @field_validator("when")
    @classmethod
    def _readable(cls, when: str) -> str:
        program = compiled(when)
        unknown = [f for f in program.functions() if f.isidentifier() and f not in _FUNCTIONS]
        if unknown:
            raise ValueError(f"{when!r} calls {unknown[0]!r}; allowed are: {', '.join(sorted(_FUNCTIONS))}")
        return when


def compiled(when: str) -> Any:
    """Compile an expression.

    Raises
    ------
    ValueError
        The text is no expression.
    """
    # Imported here, because settings are also read on threads that must not load extension modules.
    cel = importlib.import_module("cel")
    try:
        return cel.compile(when)
    except ValueError as error:
        first = str(error).split("\n", maxsplit=1)[0]
        raise ValueError(f"{when!r} is no expression: {first.partition('ERROR: <input>:')[2] or first}") from error
