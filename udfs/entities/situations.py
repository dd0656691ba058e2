"""Entities in the situations that the settings declare: what is usual for an entity abroad need not be usual for it at home."""

from __future__ import annotations

import hashlib
from typing import Any

from streamgauge.models.contract import Ints
from streamgauge.udfs.entities.columns import HIGHEST, LOWEST, SEEN
from streamgauge.udfs.entities.entity_store import EntityStore
from streamgauge.udfs.events.entity import digits
from streamgauge.udfs.events.records import Events

SEPARATOR = "\x1f"
MOST_CHARACTERS = 10_000  # of a context value, in the name under which state is kept


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

    def until_switch(self, events: Events, begin: int, end: int) -> int:
        """Place of the first event, from `begin` to before `end`, whose entity was in another situation before it; `end` if there is none.

        Up to there, what is known of other situations is the same at each event, however the log is cut into batches.
        """
        held: dict[str, str] = {}
        for place in range(begin, min(end, len(events))):
            if held.setdefault(events.entities[place], events.keys[place]) != events.keys[place]:
                return place
        return end

    def restore(self) -> None:
        """Learn the situations from the store."""
        self._seen = dict.fromkeys(self._split(name)[1] for name in sorted(self.store.index))

    def rows(self, entity: str) -> list[int]:
        """Rows of an entity's situations."""
        index = self.store.index
        rows = (index.get(f"{entity}{SEPARATOR}{situation}") for situation in self._seen)
        return [row for row in rows if row is not None]

    def usual_elsewhere(self, events: Events, rows: Ints, place: int, column: int, value: float) -> bool:
        """Whether a field's value is usual for the entity of one of some events in another situation than that of the event.

        Parameters
        ----------
        events : Events
        rows : int64[n]
            Of the store.
        place, column : int
            Of the event, and of the field.
        value : float
        """
        for other in self.rows(events.entities[place]):
            cell = self.store.fields[other, column]
            known = other != rows[place] and self.store.head[other, SEEN] >= self.warmup
            if known and cell[LOWEST] <= value <= cell[HIGHEST]:
                return True
        return False

    def of(self, unit: str) -> tuple[str, dict[str, str]]:
        """The entity, and its situation, that a name in the store stands for."""
        entity, situation = self._split(unit)
        return entity, dict(zip(self.fields, situation.split(SEPARATOR), strict=True))

    def _split(self, unit: str) -> tuple[str, str]:
        """Entity and situation of a name in the store; the entity may hold the separator, values of a situation do not."""
        entity, *values = unit.rsplit(SEPARATOR, len(self.fields))
        return entity, SEPARATOR.join(values)


def _text(value: Any) -> str:
    """A context value in a name: a long one is cut, with a mark of the whole, so that two long values stay two situations."""
    if value is None:
        return ""
    text = (digits(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)).replace(
        SEPARATOR, " "
    )
    if len(text) <= MOST_CHARACTERS:
        return text
    mark = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
    return f"{text[:MOST_CHARACTERS]}… {mark}"
