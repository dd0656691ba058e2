"""Alerts as lines of a terminal: they fit, and what matters most comes first."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from streamgauge.jobs.kafka.alert_lines import MARK, AlertLines, shortened

LONG = "ec2_cpu_utilization_of_the_machine_with_the_number_5f5533"


def alert(**more):
    """An alert message, with the keys that a line shows."""
    data = {
        "alert_id": "6301325c5d68a839e067ecb3",
        "state": "opened",
        "entity": "pump-7",
        "kind": "point",
        "severity": "high",
        "actual": {"flow": 2.0, "pressure": 9.7},
        "expected": {"flow": 2.1, "pressure": 4.2},
        "contributions": {"flow": 0.07, "pressure": 0.93},
        "rules": [],
    } | more
    return {"time": "2026-11-22T10:00:07.123Z", "data": data}


def line(width=80, **more):
    return AlertLines(width).line(alert(**more)).plain


def test_a_line_has_time_severity_entity_field_what_came_what_was_expected_and_kind_in_this_order():
    assert line().split() == ["11-22", "10:00:07", "high", "pump-7", "pressure", "9.7", "4.2", "point"]
    heading = AlertLines(80).heading().plain
    assert heading.split() == ["time", "severity", "entity", "field", "came", "expected", "kind/change"]
    assert heading.index("came") + len("came") == line().index("9.7") + len("9.7")


WORST = {
    "severity": "critical",
    "kind": "conditional",
    "entity": LONG,
    "actual": {LONG: -1.23456e-100},
    "expected": {LONG: -1.23456e-100},
}


@pytest.mark.parametrize("width", [80, 81, 100, 132, 250])
@pytest.mark.parametrize("more", [{}, WORST, WORST | {"entity": "泵" * 60}, {"rules": ["too_old" * 9], **WORST}])
def test_no_line_is_longer_than_the_terminal_is_wide(width, more):
    assert cell_len(line(width, **more)) <= width
    assert cell_len(AlertLines(width).heading().plain) <= width


def test_a_terminal_that_is_narrower_gets_lines_of_80():
    assert line(20, **WORST) == line(80, **WORST)


def test_a_long_name_is_cut_in_the_middle_and_a_wide_terminal_cuts_less():
    shown = line(80, entity=LONG).split()[3]
    assert shown == f"ec2_cp{MARK}5f5533"
    assert len(line(120, entity=LONG).split()[3]) > len(shown)


@pytest.mark.parametrize(
    ("text", "cells", "shown"),
    [("abcdef", 6, "abcdef"), ("abcdefg", 6, "abc…fg"), ("泵泵泵泵", 6, "泵…泵")],
)
def test_the_mark_stands_for_the_middle(text, cells, shown):
    assert shortened(text, cells) == shown
    assert cell_len(shown) <= cells


def test_wide_lines_cut_nothing_and_name_change_and_id():
    shown = AlertLines(None).line(alert(entity=LONG)).plain
    assert shown.split() == [
        "2026-11-22", "10:00:07", "high", LONG, "pressure", "9.7", "4.2", "point", "opened", "6301325c5d68a839e067ecb3",
    ]  # fmt: skip


@pytest.mark.parametrize("state", ["updated", "resolved", "retracted"])
def test_an_incident_that_goes_on_or_ends_says_so_in_place_of_its_kind(state):
    assert line(state=state).split()[-1] == state


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({"rules": ["too old"]}, ["rule", "too", "old", "-", "-"]),
        ({"actual": {}, "contributions": {}}, ["-", "-", "-"]),
        ({"actual": {"mode": "night"}, "expected": {}}, ["mode", "night", "-"]),
        ({"expected": {"pressure": None}}, ["pressure", "9.7", "-"]),
    ],
)
def test_what_is_not_there_is_a_dash_and_a_broken_rule_stands_in_place_of_a_field(more, shown):
    assert AlertLines(100).line(alert(**more)).plain.split()[4:-1] == shown


def test_a_name_cannot_move_the_cursor():
    shown = line(entity="a\x1b[2Jb\nc")
    assert "\x1b" not in shown
    assert "\n" not in shown
