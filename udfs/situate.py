"""Entities in the situations that the settings declare: what is usual for an entity abroad need not be usual for it at home."""

from __future__ import annotations

from typing import Any

from streamgauge.models.contract import Ints
from streamgauge.udfs.context import SEEN, EntityStore
from streamgauge.udfs.records import Events

SEPARATOR = "\x1f"
LOWEST, HIGHEST = 6, 7  # of `udfs.featurize`'s numbers for a field


class Situations:
    """The situations in which the entities of one log have been seen.

    What is known of an entity is kept for each of its situations, as if each were an entity of its own.

    Parameters
    ----------
    fields : tuple of str
        Whose values make a situation.
    store : EntityStore
    warmup : int
        Events in a situation after which its usual values count.
    """

    def __init__(self, fields: tuple[str, ...], store: EntityStore, warmup: int) -> None:
        self.fields, self.store, self.warmup = fields, store, warmup
        self._seen: dict[str, None] = {}

    def units(self, events: Events) -> list[str]:
        """For each event, its entity in its situation."""
        said = []
        for entity, value in zip(events.entities, events.values, strict=True):
            situation = SEPARATOR.join([_text(value.get(name)) for name in self.fields])
            self._seen.setdefault(situation)
            said.append(f"{entity}{SEPARATOR}{situation}")
        return said

    def restore(self) -> None:
        """Learn the situations from the store."""
        self._seen = dict.fromkeys(name.split(SEPARATOR, 1)[1] for name in sorted(self.store.index))

    def rows(self, entity: str) -> list[int]:
        """Rows of an entity's situations."""
        index = self.store.index
        rows = (index.get(f"{entity}{SEPARATOR}{situation}") for situation in self._seen)
        return [row for row in rows if row is not None and self.store.head[row, SEEN]]

    def usual_elsewhere(self, entity: str, row: int, column: int, value: float) -> bool:
        """Whether a field's value is usual for the entity in another situation than that of a row."""
        for other in self.rows(entity):
            cell = self.store.fields[other, column]
            if other != row and self.store.head[other, SEEN] >= self.warmup and cell[LOWEST] <= value <= cell[HIGHEST]:
                return True
        return False

    def usual(self, events: Events, rows: Ints, place: int, column: int, value: float) -> bool:
        """`usual_elsewhere`, for one of some events."""
        return self.usual_elsewhere(events.entities[place], int(rows[place]), column, value)

    def of(self, unit: str) -> tuple[str, dict[str, str]]:
        """The entity, and its situation, that a name in the store stands for."""
        entity, *values = unit.split(SEPARATOR)
        return entity, dict(zip(self.fields, values, strict=True))


def _text(value: Any) -> str:
    return "" if value is None else str(value).replace(SEPARATOR, " ")
