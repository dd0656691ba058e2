"""Made-up streams that say what must alert and what must not: a folder for each, with input.csv (or input.csv.gz) and expected.json.

In expected.json stand `must_alert_rows` [[first, last], ...], in each of which an incident must open, of the entity of its first row
(`entities` names another one, by first row); `quiet` [[first, last, most], ...], in which at most so many other incidents may open (0 by
default); and `max_false_alerts`, the most incidents outside all ranges that must alert. A case is right if all of this holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError
from streamgauge.jobs.files.read_files import Columns, Rows, read_rows
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.backtest import score_stream
from streamgauge.jobs.studies.judging import Opening, in_processes, openings
from streamgauge.models.errors import InputError

INPUTS = ("input.csv", "input.csv.gz")


class Expected(BaseModel):
    """The contents of expected.json; further keys explain."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore", frozen=True)

    must_alert_rows: list[tuple[int, int]] = []
    entities: dict[int, str] = {}
    quiet: list[tuple[int, int] | tuple[int, int, int]] = []
    max_false_alerts: int = 0
    kinds: list[str] = []
    why: str = ""


@dataclass
class Case:
    """A case as it was read.

    Attributes
    ----------
    name : str
    rows : Rows
    expected : Expected
    """

    name: str
    rows: Rows
    expected: Expected


@dataclass
class Result:
    """What came of a case.

    Attributes
    ----------
    name : str
    rows, opened, must, found, false, allowed, quiet, broken : int
        `broken` of the `quiet` ranges have too many incidents; `allowed` is the most false ones.
    named : int
        Found ranges whose first incident has a kind that the case expects; all found ones if it expects none.
    kinds : dict of str to int
        Kinds of all incidents.
    details : list of str
        One line for each range that must alert.
    false_at : list of int
        Rows.
    """

    name: str
    rows: int
    opened: int
    must: int
    allowed: int
    quiet: int
    found: int = 0
    named: int = 0
    false: int = 0
    broken: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    details: list[str] = field(default_factory=list)
    false_at: list[int] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Whether all that was expected holds."""
        return self.found == self.must and self.false <= self.allowed and not self.broken


def folders(data: Path) -> list[Path]:
    """The folders of all cases, sorted.

    Raises
    ------
    InputError
        There is none.
    """
    found = sorted(file.parent for file in data.glob("*/expected.json"))
    if not found:
        raise InputError(f"{data} holds no case: a folder with input.csv (or input.csv.gz) and expected.json")
    return found


def read(folder: Path) -> Case:
    """A case.

    Raises
    ------
    InputError
        A file is missing or cannot be read; the message names it and what is wrong.
    """
    file = next((folder / name for name in INPUTS if (folder / name).is_file()), None)
    if file is None:
        raise InputError(f"{folder} holds neither {' nor '.join(INPUTS)}")
    place = folder / "expected.json"
    try:
        expected = Expected.model_validate_json(place.read_bytes())
    except ValidationError as error:
        wrong = error.errors()[0]
        raise InputError(f"{place}: {'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from error
    parts = list(read_rows(file, Columns("entity", "ts")))
    if not parts:
        raise InputError(f"{file} holds no rows")
    rows = _whole(parts)
    for first, last, *_ in (*expected.must_alert_rows, *expected.quiet):
        if not 0 <= first <= last < len(rows):
            raise InputError(f"{place}: the range [{first}, {last}] is not within the {len(rows)} rows")
    return Case(folder.name, rows, expected)


def _whole(parts: list[Rows]) -> Rows:
    """All rows of a file as one part, because ranges may lie in several."""
    fields = {name: pa.concat_arrays([rows.fields[name] for rows in parts]) for name in parts[0].fields}
    times = [rows.times for rows in parts if rows.times is not None]
    return Rows([entity for rows in parts for entity in rows.entities], np.concatenate(times), None, fields)


def judge(case: Case, settings: Settings) -> Result:
    """Run a case, and judge it."""
    return judged(case, openings(score_stream([case.rows], settings)))


def judged(case: Case, opened: list[Opening]) -> Result:
    """Judge the incidents of a case.

    Parameters
    ----------
    case : Case
    opened : list of Opening
        All incidents, in the order in which they opened.
    """
    expected, entities = case.expected, case.rows.entities
    result = Result(
        case.name,
        len(case.rows),
        len(opened),
        len(expected.must_alert_rows),
        expected.max_false_alerts,
        len(expected.quiet),
        kinds=dict(Counter(one.kind for one in opened).most_common()),
    )
    used: set[int] = set()
    for first, last in expected.must_alert_rows:
        who = expected.entities.get(first, entities[first])
        mine = [(k, one) for k, one in enumerate(opened) if one.entity == who]
        hits = [k for k, one in mine if first <= one.row <= last]
        used |= set(hits)
        result.found += bool(hits)
        result.named += bool(hits) and (not expected.kinds or opened[hits[0]].kind in expected.kinds)
        result.details.append(_told(first, last, opened[hits[0]] if hits else None, [one for _, one in mine]))
    result.false_at = [one.row for k, one in enumerate(opened) if k not in used]
    result.false = len(result.false_at)
    for first, last, *most in expected.quiet:
        count = sum(first <= row <= last for row in result.false_at)
        result.broken += count > (most[0] if most else 0)
    return result


def _told(first: int, last: int, opening: Opening | None, opened: list[Opening]) -> str:
    """A line about one range that must alert."""
    if opening is not None:
        return f"rows {first} to {last}: found at {opening.row}, {opening.kind}, {opening.severity}"
    covers = [one.row for one in opened if one.row < first <= one.last]
    within = f", within the incident that opened at {covers[-1]}" if covers else ""
    return f"rows {first} to {last}: missed{within}"


def run(
    data: Path,
    settings: Settings,
    *,
    on_rows: Callable[[int], None] = lambda _: None,
    on_total: Callable[[int], None] = lambda _: None,
    processes: int | None = None,
) -> dict[str, Any]:
    """Figures of all cases in a folder.

    Parameters
    ----------
    data : Path
    settings : Settings
    on_rows, on_total : callable
        Called with the number of rows that were just scored, and once with the number of all rows.
    processes : int, optional
        All cores by default.

    Raises
    ------
    InputError
        A case cannot be read.
    """
    cases = sorted(map(read, folders(data)), key=lambda one: -len(one.rows) * len(one.rows.fields))
    on_total(sum(len(one.rows) for one in cases))
    results = []
    for result in in_processes(partial(judge, settings=settings), cases, processes):
        results.append(result)
        on_rows(result.rows)
    results.sort(key=lambda one: one.name)
    return {
        "sets": [
            {
                "case": one.name,
                "rows": one.rows,
                "found": f"{one.found}/{one.must}",
                "named": one.named,
                "false": one.false,
                "allowed": one.allowed,
                "broken": f"{one.broken}/{one.quiet}",
                "right": "yes" if one.right else "no",
            }
            for one in results
        ],
        "right": sum(one.right for one in results),
        "cases": len(results),
        "found": sum(one.found for one in results),
        "must_alert": sum(one.must for one in results),
        "false": sum(one.false for one in results),
        "details": {one.name: {"ranges": one.details, "false_at": one.false_at, "kinds": one.kinds} for one in results},
    }
