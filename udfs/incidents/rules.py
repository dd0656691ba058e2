"""The business rules in force: which events break them."""

from __future__ import annotations

import functools
import logging
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from streamgauge.models.contract import Flags, Floats
from streamgauge.udfs.events.records import Events
from streamgauge.udfs.events.schema import as_float
from streamgauge.udfs.settings.rules import Rule, compiled

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
# A comparison of one field with a number is evaluated on the matrix, all events at once.
_SIMPLE = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(<=|>=|==|!=|<|>)\s*(-?\d+(?:\.\d+)?)\s*")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Violations:
    """Which events break rules.

    Attributes
    ----------
    any : bool[n]
        Whether an event breaks a rule.
    each : list of (Rule, bool[n])
        Which events break each rule.
    failed : int
        How often a rule could not be evaluated.
    """

    any: Flags
    each: list[tuple[Rule, Flags]] = field(default_factory=list)
    failed: int = 0

    def broken_by(self, place: int) -> list[Rule]:
        """The rules that one event breaks."""
        return [rule for rule, violated in self.each if violated[place]]


@functools.lru_cache(maxsize=16)
def rule_book(rules: tuple[Rule, ...]) -> RuleBook:
    """The compiled rules; compiled once for all partitions."""
    return RuleBook(rules)


class RuleBook:
    """Compiled rules.

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
                program = compiled(rule.when)
                self._others.append((rule, program, program.variables()))

    def violations(self, events: Events, X: Floats, columns: list[str]) -> Violations:
        """Which events break which rule. An event without one of a rule's fields breaks nothing.

        Parameters
        ----------
        events : Events
        X : float64[n, d]
        columns : list of str
            Field of each column.
        """
        found = Violations(np.zeros(len(X), np.bool_))
        for rule, name, holds, value in self._simple:
            if name in columns:
                column = X[:, columns.index(name)]
                found.each.append((rule, holds(column, value) & ~np.isnan(column)))
        for rule, program, names in self._others:
            violated, failed = self._evaluate(rule, program, names, events)
            found.each.append((rule, violated))
            found.failed += failed
        for _, violated in found.each:
            found.any |= violated
        return found

    def _evaluate(self, rule: Rule, program: Any, names: list[str], events: Events) -> tuple[Flags, int]:
        violated, failed = np.zeros(len(events), np.bool_), 0
        for i, value in enumerate(events.values):
            try:
                given = {name: _given(name, value, int(events.times[i])) for name in names}
                violated[i] = program.execute({name: item for name, item in given.items() if item is not None}) is True
            except (RuntimeError, KeyError):  # the event has no such field
                continue
            except Exception as error:  # what an expression meets in a record must not stop the others
                failed += 1
                if rule.id not in self._failed:
                    self._failed.add(rule.id)
                    log.warning("rule %s cannot be evaluated on some events: %s", rule.id, error)
        return violated, failed


def _given(name: str, value: dict[str, Any], time: int) -> Any:
    """What a name in an expression stands for; None where the event has no such field. All numbers are floating-point ones."""
    item = value.get(name)
    if item is None:
        if name in ("hour", "weekday"):
            moment = datetime.fromtimestamp(time / 1000, UTC)
            return float(moment.hour if name == "hour" else moment.isoweekday())
        prefix = f"{name}."
        item = _nested({key[len(prefix) :]: v for key, v in value.items() if key.startswith(prefix)}) or None
    return _number(item)


def _number(item: Any) -> Any:
    return as_float(item) if isinstance(item, int) and not isinstance(item, bool) else item


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Keys joined by dots as objects again; a key that is both a value and an object is the object."""
    whole: dict[str, Any] = {}
    for key, item in flat.items():
        *outer, last = key.split(".")
        inner = whole
        for part in outer:
            known = inner.get(part)
            if not isinstance(known, dict):
                known = inner[part] = {}
            inner = known
        if not isinstance(inner.get(last), dict):
            inner[last] = _number(item)
    return whole
