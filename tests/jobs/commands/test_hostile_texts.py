"""Texts of events do nothing where people look at them: terminal, tables, pages, plots."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from rich.table import Table
from rich.text import Text
from streamgauge.jobs.commands.terminal import PlainConsole
from streamgauge.jobs.pages.html import STYLE, axes_of, plain, png
from streamgauge.jobs.studies.backtest import _no_formula

CLIPBOARD = "\x1b]52;c;ZXZpbA==\x07"  # OSC 52 writes the clipboard
HOSTILE = [CLIPBOARD, "\x1b[2J", "\x9b31m", "\r", "\x08", "[/]", "[red]", "[/nothing]", "[link=x]", ":smile:", "\u202e"]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("shown", ["line", "text", "table"])
def test_a_terminal_shows_what_an_event_holds_and_does_nothing_else(text, shown):
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=True, color_system=None, width=80)
    table = Table("entity", text)
    table.add_row("e", f"a{text}b")
    console.print({"line": f"a{text}b", "text": Text(f"a{text}b"), "table": table}[shown])
    written = file.getvalue()
    assert all(one.isprintable() or one == "\n" for one in written)
    if text.isprintable():
        assert f"a{text}b" in written


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_table_holds_no_formula_of_an_event(text):
    file = io.StringIO()
    csv.writer(file).writerow((_no_formula(text),))
    assert next(csv.reader(io.StringIO(file.getvalue(), newline="")))[0] == f"'{text}"


@pytest.mark.parametrize("text", ["pump 1", "-5", "+3.5", "a=b", ""])
def test_usual_names_are_written_as_they_are(text):
    assert _no_formula(text) == text


@pytest.mark.parametrize("text", ["$x^{", "$\\frac{1}{$", "a$b$c", "\\$", "$" * 11])
def test_a_plot_takes_no_formula_of_an_event(text):
    figure, axes = axes_of(plain(text), "y", plain(text))
    axes.plot(np.arange(3), label=plain(text))
    axes.legend()
    assert png(figure)


def test_a_page_may_run_and_load_nothing():
    assert "default-src 'none'" in STYLE
    assert STYLE.startswith('<meta http-equiv="Content-Security-Policy"')
