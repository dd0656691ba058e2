"""Business rules: an expression decides whether an event breaks a rule, and can do nothing else."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from pydantic import ValidationError
from streamgauge.models.errors import SettingsError
from streamgauge.udfs.control.messages import parse
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.incidents.rules import RuleBook
from streamgauge.udfs.settings.event import EventSettings
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.settings.rules import Rule

from tests.streams import SMALL, START, Run, batch


def violated(when, *values, columns=()):
    events, _ = Reader(EventSettings()).read(batch([{"entity": "e", **value} for value in values]))
    X = np.array([[value.get(c, np.nan) for c in columns] for value in values], dtype=np.float64)
    found = RuleBook((Rule(id="r", when=when),)).violations(events, X.reshape(len(values), -1), list(columns))
    [(_, each)] = found.each
    np.testing.assert_array_equal(found.any, each)
    return each.tolist(), found.failed


def test_a_comparison_of_one_field_is_evaluated_on_its_column():
    assert violated("age < 0", {"age": -1}, {"age": 3}, {}, columns=("age",)) == ([True, False, False], 0)


def test_an_event_that_breaks_any_of_several_rules_is_told_with_those_that_it_breaks():
    rules = tuple(Rule(id=when, when=when) for when in ("x < 0", "x > 8", "y > 5"))
    events, _ = Reader(EventSettings()).read(batch([{"entity": "e", "x": x} for x in (-1.0, 9.0, 3.0)]))
    X = np.array([[-1.0, 0.0], [9.0, 7.0], [3.0, 0.0]])
    found = RuleBook(rules).violations(events, X, ["x", "y"])
    assert found.any.tolist() == [True, True, False]
    told = [[rule.id for rule in found.broken_by(place)] for place in range(3)]
    assert told == [["x < 0"], ["x > 8", "y > 5"], []]


@pytest.mark.parametrize("more", ["", " && true"])
@pytest.mark.parametrize(
    ("when", "value", "expected"),
    [
        ("hour >= 8", {"x": 1, "ts": START}, True),  # 8:53
        ("hour < 8", {"x": 1, "ts": START}, False),
        ("weekday == 4", {"x": 1, "ts": START}, True),  # a Thursday
        ("hour < 8", {"x": 1, "ts": START, "hour": 7}, True),  # a field of the event
        ("status >= 500", {"status": 503}, True),  # a field that is not looked at
        ("status >= 500", {"status": 200}, False),
    ],
)
def test_a_comparison_of_what_is_no_column_is_evaluated_as_a_part_of_a_longer_rule_is(when, value, expected, more):
    assert violated(when + more, value, columns=("x",)) == ([expected], 0)


def test_a_field_that_is_ignored_can_break_a_rule():
    raw = SMALL.model_dump()
    raw["event"] |= {"ignore": ["status"]}
    raw["decide"]["rules"] = [{"id": "failed", "when": "status >= 500"}]
    run = Run(PipelineSettings.model_validate(raw))
    run.feed(batch([{"entity": "a", "x": 9, "status": 200}, {"entity": "a", "x": 9, "status": 503}]))
    assert [json.loads(text)["data"]["rules"] for _, text in run.alerts] == [["failed"]]


@pytest.mark.parametrize(
    ("when", "value", "expected"),
    [
        ("amount > 1000 && country != home", {"amount": 2000, "country": "PT", "home": "DE"}, True),
        ("amount > 1000 && country != home", {"amount": 2000, "country": "DE", "home": "DE"}, False),
        ("amount > 1000 && country != home", {"amount": 2000, "country": "PT"}, False),  # home is not known
        ("disk.used / disk.total > 0.9", {"disk": {"used": 95, "total": 100}}, True),
        ('status in ["failed", "lost"]', {"status": "lost"}, True),
        ('mail.matches("@example[.]com$")', {"mail": "a@example.com"}, True),
        ("x == null", {"x": None}, False),  # a missing field violates nothing
        ("entity == 'e' && x > 0", {"x": 1}, True),
        ("hour >= 8 && weekday == 4 && x > 0", {"x": 1, "ts": START}, True),  # a Thursday, 8:53
        (
            "hour.count > 100 && hour.x.sum < 5",
            {"hour": {"count": 200, "x": {"sum": 1}}},
            True,
        ),  # windows called `hour`
    ],
)
def test_expressions(when, value, expected):
    assert violated(when, value) == ([expected], 0)


def test_a_rule_that_cannot_be_evaluated_is_counted_and_not_broken(caplog):
    assert violated("x + 1.0 > 2", {"x": "text"}, {"x": "text"}) == ([False, False], 2)
    assert len(caplog.records) == 1
    assert "rule r cannot be evaluated" in caplog.text


@pytest.mark.parametrize(
    ("when", "value", "expected"),
    [
        ("disk.used > 5 && true", {"disk": {"total": 100}}, ([False], 0)),  # the sibling is missing
        ("disk.used > 5 && true", {"disk.used.now": 1, "disk": {"used": 9}}, ([False], 1)),
        ("a.b.c > 5 || a.b > 5", {"a.b.c": 1, "a.b": 9}, ([False], 1)),  # a key that is a value and an object, too
        ("10.0 / x > 1", {"x": 0}, ([True], 0)),  # floating-point numbers divide to infinity
        ("10 / int(x) > 1", {"x": 0}, ([False], 1)),
        ("x + y > 1", {"x": int("9" * 321), "y": 1}, ([True], 0)),
        ("int(x) > 1", {"x": int("9" * 321)}, ([False], 1)),
    ],
)
def test_no_record_makes_a_rule_raise(when, value, expected):
    assert violated(when, value) == expected


@pytest.mark.parametrize("when", ["x >", "x = 3", "import os", "lambda: 1", "", "(" * 3000 + "1" + ")" * 1000])
def test_a_text_that_is_no_expression_is_refused(when):
    with pytest.raises(ValidationError):
        Rule(id="r", when=when)


def test_an_expression_can_only_call_the_functions_of_the_language():
    with pytest.raises(ValidationError, match=re.escape("calls '__import__'; allowed are: bool")):
        Rule(id="r", when='__import__("os").system("true") == 0')
    with pytest.raises(SettingsError, match="open"):
        parse(json.dumps({"type": "rules", "rules": [{"id": "r", "when": 'open("/etc/passwd") != ""'}]}))


def test_the_rules_of_the_settings_hold_until_a_control_message_replaces_them():
    raw = SMALL.model_dump()
    raw["decide"]["rules"] = [{"id": "own", "when": "x > 5 && y > 5", "severity": "critical"}]
    run = Run(PipelineSettings.model_validate(raw))
    run.feed(batch([{"entity": "a", "x": 9, "y": 9}]))
    [(_, text)] = run.alerts
    data = json.loads(text)["data"]
    assert (data["kind"], data["rules"], data["severity"]) == ("conditional", ["own"], "critical")
    run.shard.apply(parse('{"type": "rules", "rules": []}'))
    run.feed(batch([{"entity": "b", "x": 9, "y": 9}], offset=1))
    assert len(run.alerts) == 1


SLOW = [
    "x.all(a, x.all(b, a + b > 0))",  # one step for each pair of items
    "x.exists ( a , x . filter(b, b > a).size() > 0)",
    "[[1, 2]].map(a, a.map(b, b)).size() > 0",
    "'//'.size() > 0 && x.all(a, x.all(b, true))",  # no comment
    "// '\n x.all(a, x.all(b, true)) // '",  # no text
    r"r'\' != 'b' && x.all(a, x.all(b, true)) && '' != ''",  # a raw text that ends after its backslash
    "t.matches(t)",  # a pattern that an event writes
    "matches(t, u)",
    r"t.matches('(\\w{100}){20}')",
    "t.matches('a{0,500}')",
]


@pytest.mark.parametrize("when", SLOW)
def test_a_rule_that_may_take_long_is_refused_in_settings_and_on_the_control_topic(when):
    with pytest.raises(ValidationError, match=r"within a list|pattern"):
        Rule(id="r", when=when)
    message = json.dumps({"type": "rules", "rules": [{"id": "r", "when": when}]})
    with pytest.raises(SettingsError, match=r"within a list|pattern"):
        parse(message)


def test_usual_rules_with_lists_texts_and_patterns_are_allowed():
    for when in (
        "x.all(a, a > 1) && y.exists(b, b < 2)",
        "t.matches('^[a-z]{3}-[0-9]{4}$')",
        "'x.all(a, x.all(b, true))' == t",
        "matches(t, '^a')",
        "(x.map(a, a * 2.0)).size() > (y.size())",
    ):
        Rule(id="r", when=when)


def test_all_rules_together_have_a_limit():
    rules = [{"id": f"r{k}", "when": f"x.all(a, a > {k})" + " || y > 1.0" * 20} for k in range(20)]
    message = json.dumps({"type": "rules", "rules": rules})
    with pytest.raises(SettingsError, match=r"steps an event, 1000000 are allowed"):
        parse(message)
    with pytest.raises(ValidationError, match="steps an event"):
        PipelineSettings.model_validate({"decide": {"rules": rules}})


def test_an_event_cannot_make_a_rule_slow():
    long = [1.0] * 257
    assert violated("x.all(a, a > 0)", {"x": [1.0] * 256}, {"x": long}) == ([True, False], 1)
    assert violated("x.size() > 3", {"x": long}) == ([True], 0)
    assert violated("t.contains('b')", {"t": "b" * 10_000}, {"t": "b" * 10_001}) == ([True, False], 1)
