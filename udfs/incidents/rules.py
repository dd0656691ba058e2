"""Business rules: what an event must not be, in the Common Expression Language.

An expression is data: it can read the event's fields and the functions of the language, and nothing else.
"""

from __future__ import annotations

import importlib
import logging
import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator
from streamgauge.models.contract import Flags, Floats
from streamgauge.udfs.events.records import Events
from streamgauge.udfs.settings.base import Section

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_SIMPLE = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(<=|>=|==|!=|<|>)\s*(-?\d+(?:\.\d+)?)\s*")
_FUNCTIONS = {
    "size", "matches", "contains", "startsWith", "endsWith", "int", "double", "string", "bool", "duration", "timestamp", "type",
    "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds",
    "dyn", "uint", "bytes",
}  # fmt: skip
LONGEST = 2000

log = logging.getLogger(__name__)


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
        program = _compiled(when)
        unknown = [f for f in program.functions() if f.isidentifier() and f not in _FUNCTIONS]
        if unknown:
            raise ValueError(f"{when!r} calls {unknown[0]!r}; allowed are: {', '.join(sorted(_FUNCTIONS))}")
        return when


def _compiled(when: str) -> Any:
    cel = importlib.import_module("cel")  # here, as settings are read on threads that must not load extensions
    try:
        return cel.compile(when)
    except ValueError as error:
        first = str(error).split("\n", maxsplit=1)[0]
        raise ValueError(f"{when!r} is no expression: {first.partition('ERROR: <input>:')[2] or first}") from error


class RuleBook:
    """The rules in force.

    Parameters
    ----------
    rules : tuple of Rule
    """

    def __init__(self, rules: tuple[Rule, ...] = ()) -> None:
        self._failed: set[str] = set()
        self._simple: list[tuple[Rule, str, Callable[[Any, Any], Any], float]] = []
        self._others: list[tuple[Rule, Any, list[str]]] = []
        for rule in rules:
            simple = _SIMPLE.fullmatch(rule.when)
            if simple:
                self._simple.append((rule, simple[1], _OPERATORS[simple[2]], float(simple[3])))
            else:
                program = _compiled(rule.when)
                self._others.append((rule, program, program.variables()))

    def violations(self, events: Events, X: Floats, columns: list[str]) -> tuple[Flags, list[tuple[Rule, Flags]], int]:
        """Which events violate any rule, which each, and how often a rule could not be evaluated.

        Parameters
        ----------
        events : Events
        X : float64[n, d]
        columns : list of str
            Field of each column.
        """
        each, failed = [], 0
        for rule, field, holds, value in self._simple:
            if field in columns:
                column = X[:, columns.index(field)]
                each.append((rule, holds(column, value) & ~np.isnan(column)))
        for rule, program, names in self._others:
            violated, bad = self._evaluate(rule, program, names, events)
            each.append((rule, violated))
            failed += bad
        some = np.zeros(len(X), np.bool_)
        for _, violated in each:
            some |= violated
        return some, each, failed

    def _evaluate(self, rule: Rule, program: Any, names: list[str], events: Events) -> tuple[Flags, int]:
        violated, failed = np.zeros(len(events), np.bool_), 0
        for i, value in enumerate(events.values):
            given = {name: _given(name, value, int(events.times[i])) for name in names}
            try:
                violated[i] = program.execute({name: item for name, item in given.items() if item is not None}) is True
            except RuntimeError:  # a field that is not there
                continue
            except (TypeError, ValueError, OverflowError) as error:
                failed += 1
                if rule.id not in self._failed:
                    self._failed.add(rule.id)
                    log.warning("rule %s cannot be evaluated on some events: %s", rule.id, error)
        return violated, failed


def _given(name: str, value: dict[str, Any], time: int) -> Any:
    """What a name in an expression stands for; None where the event has no such thing. All numbers are floating-point ones."""
    item = value.get(name)
    if item is None:
        if name in ("hour", "weekday"):
            moment = datetime.fromtimestamp(time / 1000, UTC)
            return float(moment.hour if name == "hour" else moment.isoweekday())
        prefix = f"{name}."
        item = _nested({key[len(prefix) :]: v for key, v in value.items() if key.startswith(prefix)}) or None
    return _number(item)


def _number(item: Any) -> Any:
    return float(item) if isinstance(item, int) and not isinstance(item, bool) else item


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Keys joined by dots as objects again."""
    whole: dict[str, Any] = {}
    for key, item in flat.items():
        *outer, last = key.split(".")
        inner = whole
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[last] = _number(item)
    return whole
