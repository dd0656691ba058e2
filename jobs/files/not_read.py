"""What was not read of files: cells, rows and lines, with the reason and the first places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

NO_TIME, NOT_A_TIME = "no time", "not a time"  # reasons for which a row is left out
MOST_PLACES = 5  # that are told of each reason
LONGEST = 60  # characters of an example


class What(NamedTuple):
    """What was not read.

    Attributes
    ----------
    file : str
    column : str
        Empty if it is about whole rows.
    reason : str
    """

    file: str
    column: str
    reason: str


@dataclass(slots=True)
class Seen:
    """How often something was not read.

    Attributes
    ----------
    count : int
    places : list of int
        The first lines of the file, from 1; in Parquet the first rows.
    example : str
        What stood there the first time.
    """

    count: int = 0
    places: list[int] = field(default_factory=list)
    example: str = ""


@dataclass(slots=True)
class NotRead:
    """A report of what was not read of files, and of how they were understood.

    Attributes
    ----------
    seen : dict of What to Seen
    notes : list of str
        Sentences, such as which character stands between cells.
    """

    seen: dict[What, Seen] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.seen)

    @property
    def left_out(self) -> int:
        """Number of rows that were left out."""
        return sum(seen.count for what, seen in self.seen.items() if what.reason in (NO_TIME, NOT_A_TIME))

    def add(self, what: What, places: Iterable[int], count: int, example: str = "") -> None:
        """Add something that was not read: its first places, and how often it came."""
        seen = self.seen.setdefault(what, Seen())
        if not seen.count:
            seen.example = example if len(example) <= LONGEST else example[: LONGEST - 1] + "…"
        seen.count += count
        seen.places = [*seen.places, *places][:MOST_PLACES]

    def say(self, note: str) -> None:
        """Add a sentence, unless it was said before."""
        if note not in self.notes:
            self.notes.append(note)

    def join(self, other: NotRead) -> None:
        """Add what another report holds."""
        for what, seen in other.seen.items():
            self.add(what, seen.places, seen.count, seen.example)
        for note in other.notes:
            self.say(note)

    def as_list(self) -> list[dict[str, Any]]:
        """All entries, as they are printed as JSON."""
        return [
            {**what._asdict(), "count": seen.count, "lines": seen.places, "example": seen.example}
            for what, seen in self.seen.items()
        ]
