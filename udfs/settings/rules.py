"""Business rules: expressions in the Common Expression Language that no event may fulfil.

An expression can only read the fields of the event and call functions of the language.
"""

from __future__ import annotations

import importlib
import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator
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
# What a rule may cost. All limits are counts, so that a rule is allowed or refused alike on every machine.
MOST_ITEMS = 256  # items of a list that an expression goes through (`all`, `exists`, `filter`, `map`)
MOST_TEXT = 10_000  # characters of a text of an event that an expression is given
MOST_STEPS = 1_000_000  # of all rules together, for one event
MOST_REPEATS = 100  # product of all repetitions in a pattern, such as 12 in "a{3}b{4}"
_LITERAL = re.compile(
    r"""//[^\n]*|[bB]?[rR][bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')"""
    r"""|\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""",
    re.DOTALL,
)
_LOOP = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|filter|map|sortBy)\s*\(")
_MATCHES = re.compile(r"\bmatches\b(?!\s*\(\s*(?:[\w.]+\s*,\s*)?''\s*\))")


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
        _check_cost(when)
        return when


def _without_literals(when: str) -> str:
    """An expression with empty texts and without comments."""
    return _LITERAL.sub(lambda found: "" if found[0].startswith("//") else "''", when)


def goes_through_lists(when: str) -> bool:
    """Whether an expression goes through the items of a list."""
    return _LOOP.search(_without_literals(when)) is not None


def _steps(when: str) -> int:
    """Largest number of steps that an expression takes for one event: its characters, for each item where it goes through lists."""
    return len(when) * (max(MOST_ITEMS, when.count(",")) if goes_through_lists(when) else 1)


def _check_cost(when: str) -> None:
    """Raise ValueError if an expression may take a long time for one event."""
    plain = _without_literals(when)
    inside: list[bool] = []  # of each open bracket: whether it goes through a list
    loops = {found.end() - 1 for found in _LOOP.finditer(plain)}
    for place, sign in enumerate(plain):
        if sign == "(":
            if place in loops and any(inside):
                raise ValueError(f"{when!r} goes through a list within a list: only one of them is allowed at a time")
            inside.append(place in loops)
        elif sign == ")" and inside:
            inside.pop()
    if _MATCHES.search(plain):
        raise ValueError(f"{when!r}: the pattern of matches must be a text in the rule, such as matches('^a')")
    for literal in _LITERAL.findall(when):
        counts = [int(n) for pair in re.findall(r"\{(\d+)(?:,(\d*))?\}", literal) for n in pair if n]
        if math.prod(max(1, n) for n in counts) > MOST_REPEATS:
            raise ValueError(
                f"{when!r} has a pattern that repeats more than {MOST_REPEATS} times, all repeats multiplied"
            )


def _together(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    steps = sum(_steps(rule.when) for rule in rules)
    if steps > MOST_STEPS:
        raise ValueError(
            f"all rules together take {steps} steps an event, {MOST_STEPS} are allowed: a rule takes one for each of its "
            f"characters, {MOST_ITEMS} times as many if it goes through a list"
        )
    return rules


RuleList = Annotated[tuple[Rule, ...], AfterValidator(_together)]


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
