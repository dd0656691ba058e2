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
from streamgauge.udfs.settings.rules import MOST_ITEMS, MOST_TEXT, Rule, compiled, goes_through_lists

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
# A comparison of one field with a number is fast: if the field is a column, it is evaluated on the matrix, for all events at once.
_SIMPLE = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(<=|>=|==|!=|<|>)\s*(-?\d+(?:\.\d+)?)\s*")

MOMENTS = ("hour", "weekday")  # names that stand for the time of an event, unless it has such a field

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Violations:
    """Which events break rules.

    Attributes
    ----------
    any : bool[n]
        Whether an event breaks a rule.
    each : list of (Rule, bool[n])
        Which events break each rule. Not in it: rules about fields that the stream does not have.
    failed : int
        How often a rule could not be evaluated.
    """

    any: Flags
    each: list[tuple[Rule, Flags]] = field(default_factory=list)
    failed: int = 0

    def broken_by(self, place: int) -> list[Rule]:
        """The rules that the event at a place breaks."""
        return [rule for rule, violated in self.each if violated[place]]


@functools.lru_cache(maxsize=16)
def rule_book(rules: tuple[Rule, ...]) -> RuleBook:
    """The compiled rules; the partitions of a task share them, so that they are compiled once."""
    return RuleBook(rules)


class RuleBook:
    """Compiled rules.

    Parameters
    ----------
    rules : tuple of Rule
    """

    def __init__(self, rules: tuple[Rule, ...] = ()) -> None:
        self._failed: set[str] = set()
        programs = [(rule, compiled(rule.when)) for rule in rules]
        self._rules = [(rule, of, of.variables(), _SIMPLE.fullmatch(rule.when)) for rule, of in programs]

    def violations(self, events: Events, X: Floats, columns: list[str]) -> Violations:
        """Find the events that break rules. An event that lacks a field of a rule does not break the rule.

        Parameters
        ----------
        events : Events
        X : float64[n, d]
            Values; NaN is missing.
        columns : list of str
            Field of each column.
        """
        found = Violations(np.zeros(len(X), np.bool_))
        for rule, program, names, simple in self._rules:
            if simple and simple[1] in columns:
                column = X[:, columns.index(simple[1])]
                found.each.append((rule, _OPERATORS[simple[2]](column, float(simple[3])) & ~np.isnan(column)))
            elif not simple or simple[1] in MOMENTS or any(simple[1] in value for value in events.values):
                violated, failed = self._evaluate(rule, program, names, events)
                found.each.append((rule, violated))
                found.failed += failed
        for _, violated in found.each:
            found.any |= violated
        return found

    def _evaluate(self, rule: Rule, program: Any, names: list[str], events: Events) -> tuple[Flags, int]:
        """Which events break a rule, bool[n], and for how many it could not be evaluated."""
        violated, failed = np.zeros(len(events), np.bool_), 0
        most = MOST_ITEMS if goes_through_lists(rule.when) else None
        for i, value in enumerate(events.values):
            try:
                given = {name: _given(name, value, int(events.times[i])) for name in names}
                given = {name: item for name, item in given.items() if item is not None}
                _check_size(given, most)
                violated[i] = program.execute(given) is True
            except (RuntimeError, KeyError):  # the event has no such field
                continue
            except Exception as error:  # whatever is wrong with one record must not stop the others
                failed += 1
                if rule.id not in self._failed:
                    self._failed.add(rule.id)
                    log.warning("rule %s cannot be evaluated on some events: %s", rule.id, error)
        return violated, failed


def _check_size(given: dict[str, Any], most: int | None) -> None:
    """Raise ValueError if an event would make an expression slow: a long text, or lists with more than `most` items in all."""
    items, waiting = 0, list(given.values())
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and len(item) > MOST_TEXT:
            raise ValueError(f"a text has {len(item)} characters, a rule is given {MOST_TEXT} at most")
        if isinstance(item, dict | list):
            waiting += item.values() if isinstance(item, dict) else item
            items += len(item)
        if most is not None and items > most:
            raise ValueError(f"the rule goes through more than {most} items")


def _given(name: str, value: dict[str, Any], time: int) -> Any:
    """The value of a name in an expression, with all numbers as floating-point numbers; None where the event has no such field."""
    item = value.get(name)
    if item is None:
        prefix = f"{name}."
        item = _nested({key[len(prefix) :]: v for key, v in value.items() if key.startswith(prefix)}) or None
    if item is None and name in MOMENTS:
        moment = datetime.fromtimestamp(time / 1000, UTC)
        return float(moment.hour if name == "hour" else moment.isoweekday())
    return _number(item)


def _number(item: Any) -> Any:
    """An integer as a floating-point number; anything else as it is."""
    return as_float(item) if isinstance(item, int) and not isinstance(item, bool) else item


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Objects, made of keys that are joined by dots. A key that is both a value and an object becomes the object."""
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
