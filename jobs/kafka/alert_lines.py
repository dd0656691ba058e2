"""Alerts as lines of a terminal: one line for each change of an incident, no longer than the terminal is wide."""

from __future__ import annotations

from typing import Any

from rich.cells import cell_len, chop_cells
from rich.text import Text
from streamgauge.udfs.incidents.kinds import ENDED

COLOURS = {"low": "", "medium": "yellow", "high": "dark_orange", "critical": "red"}
MARK = "…"  # stands for what was cut out of a name
NARROWEST = 80  # cells; a narrower terminal breaks the lines
TIME, SEVERITY, NUMBER, KIND = 14, 8, 9, 11  # cells of the columns whose content has a largest size
ENTITY, FIELD = 40, 30  # cells that the columns with names take at most
FIXED = TIME + SEVERITY + 2 * NUMBER + KIND + 6  # with the spaces between the columns


class AlertLines:
    """Alerts as lines: time, severity, entity, field, what came, what was expected, kind.

    Parameters
    ----------
    width : int, optional
        Cells that a line may take; at least 80 are used. Names that do not fit are cut in the middle. Without it nothing is cut, and each
        line ends with the change and the alert's id.
    """

    def __init__(self, width: int | None) -> None:
        self._whole = width is None
        free = ENTITY + FIELD if width is None else max(width, NARROWEST) - FIXED
        self._entity = min(ENTITY, 3 * free // 5)
        self._field = min(FIELD, free - self._entity)

    def heading(self) -> Text:
        """The names of the columns."""
        last = ("kind", "change", "id") if self._whole else ("kind/change",)
        text = self._joined("time", "severity", "entity", "field", "came", "expected", *last)
        text.stylize("bold")
        return text

    def line(self, alert: dict[str, Any]) -> Text:
        """One alert, given as its CloudEvents envelope. An incident that goes on or ends has its change in place of the kind."""
        data = alert["data"]
        field, came, expected = blamed(data)
        change = data["kind"] if data["state"] == "opened" or self._whole else data["state"]
        more = (data["state"], data["alert_id"]) if self._whole else ()
        time = str(alert["time"]).replace("T", " ")
        time = time[:19] if self._whole else time[5:19]
        text = self._joined(time, data["severity"], data["entity"], field, came, expected, change, *more)
        if data["state"] in ENDED:
            text.stylize("dim")
        else:
            begin = len(time) + 1
            text.stylize(COLOURS[data["severity"]], begin, begin + len(data["severity"]))
        return text

    def _joined(self, time: str, severity: str, entity: str, field: str, came: str, expected: str, *rest: str) -> Text:
        cells = [time.ljust(19 if self._whole else TIME), severity.ljust(SEVERITY)]
        cells += [self._fitted(entity, self._entity), self._fitted(field, self._field)]
        cells += [came.rjust(NUMBER), expected.rjust(NUMBER)]
        return Text(" ".join((*cells, *(one.ljust(KIND) for one in rest))).rstrip(), no_wrap=True, overflow="ignore")

    def _fitted(self, name: str, cells: int) -> str:
        name = printable(name)
        fitted = name if self._whole else shortened(name, cells)
        return fitted + " " * (cells - cell_len(fitted))


def blamed(data: dict[str, Any]) -> tuple[str, str, str]:
    """The field with the largest share in an alert, what came and what was expected; or the rules that were broken."""
    if data["rules"]:
        return f"rule {', '.join(data['rules'])}", "-", "-"
    actual, shares = data["actual"], data["contributions"]
    if not actual:
        return "-", "-", "-"
    field = max(actual, key=lambda name: shares.get(name, 0.0))
    return field, short_value(actual[field]), short_value(data["expected"].get(field))


def short_value(value: float | str | None) -> str:
    """A value in at most nine cells."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return shortened(printable(value), NUMBER)
    text = f"{value:.4g}"
    return text if len(text) <= NUMBER else f"{value:.2g}"


def shortened(text: str, cells: int) -> str:
    """A text in at most as many cells, three or more: if it is longer, a mark stands in place of its middle."""
    if cell_len(text) <= cells:
        return text
    end = (cells - 1) // 2
    first, last = chop_cells(text, cells - 1 - end)[0], chop_cells(text[::-1], end)[0][::-1]
    return first + MARK + last


def printable(text: str) -> str:
    """A name from the data without characters that would move the cursor or change its colour."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
