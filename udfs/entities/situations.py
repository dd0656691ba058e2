"""Situations of entities. What is usual for an entity in one situation, such as travelling, may be unusual in another."""

from __future__ import annotations

import hashlib
from typing import Any

from streamgauge.models.contract import Ints
from streamgauge.udfs.entities.columns import HIGHEST, LOWEST, SEEN
from streamgauge.udfs.entities.entity_store import EntityStore
from streamgauge.udfs.events.entity import digits
from streamgauge.udfs.events.records import Events

SEPARATOR = "\x1f"
MOST_FORGOTTEN = 1000  # situations without an entity that are kept in mind, beside as many as there are entities
MOST_CHARACTERS = 10_000  # characters of a context value in the name under which state is kept


class Situations:
    """The situations in which the entities of one partition have been seen.

    An entity has separate state for each of its situations, as if each were an entity of its own.

    Parameters
    ----------
    fields : tuple of str
        Context fields; their values are the situation.
    store : EntityStore
    warmup : int
        Number of events in a situation from which on its usual values are used.
    """

    def __init__(self, fields: tuple[str, ...], store: EntityStore, warmup: int) -> None:
        self.fields, self.store, self.warmup = fields, store, warmup
        self._seen: dict[str, None] = {}

    def units(self, events: Events) -> list[str]:
        """Entity and situation of each event, as one name under which state is kept."""
        if len(self._seen) > 2 * len(self.store) + MOST_FORGOTTEN:
            self.restore()
        names = []
        for entity, value in zip(events.entities, events.values, strict=True):
            situation = SEPARATOR.join([_text(value.get(name)) for name in self.fields])
            self._seen.setdefault(situation)
            names.append(f"{entity}{SEPARATOR}{situation}")
        return names

    def until_switch(self, events: Events, begin: int, end: int) -> int:
        """Find the first event, from `begin` to before `end`, with which an entity changes its situation.

        Before it, the state of an entity's other situations does not change, so results do not depend on how the partition is cut
        into batches.

        Returns
        -------
        int
            Position of the event; `end` if there is none.
        """
        name_of: dict[str, str] = {}
        for place in range(begin, min(end, len(events))):
            if name_of.setdefault(events.entities[place], events.keys[place]) != events.keys[place]:
                return place
        return end

    def restore(self) -> None:
        """Find the situations again from the names in the store, after a restart or after entities were forgotten."""
        self._seen = dict.fromkeys(self._split(name)[1] for name in sorted(self.store.index))

    def rows(self, entity: str) -> list[int]:
        """Rows of the store that belong to an entity, one for each of its situations."""
        index = self.store.index
        rows = (index.get(f"{entity}{SEPARATOR}{situation}") for situation in self._seen)
        return [row for row in rows if row is not None]

    def usual_elsewhere(self, events: Events, rows: Ints, place: int, column: int, value: float) -> bool:
        """Whether a value of a field is usual for the entity in another situation than that of the event.

        Parameters
        ----------
        events : Events
        rows : int64[n]
            Row of each event in the store.
        place, column : int
            Position of the event, and column of the field.
        value : float
        """
        for other in self.rows(events.entities[place]):
            cell = self.store.fields[other, column]
            known = other != rows[place] and self.store.head[other, SEEN] >= self.warmup
            if known and cell[LOWEST] <= value <= cell[HIGHEST]:
                return True
        return False

    def of(self, unit: str) -> tuple[str, dict[str, str]]:
        """Entity and situation (value by context field) that a name in the store stands for."""
        entity, situation = self._split(unit)
        return entity, dict(zip(self.fields, situation.split(SEPARATOR), strict=True))

    def _split(self, unit: str) -> tuple[str, str]:
        """Split a name into entity and situation. The entity may contain the separator; the values of a situation never do."""
        entity, *values = unit.rsplit(SEPARATOR, len(self.fields))
        return entity, SEPARATOR.join(values)


def _text(value: Any) -> str:
    """A context value as part of a name. A long one is cut and gets a digest, so that two long values stay two situations."""
    if value is None:
        return ""
    text = digits(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)
    text = text.replace(SEPARATOR, " ")
    if len(text) <= MOST_CHARACTERS:
        return text
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
    return f"{text[:MOST_CHARACTERS]}… {digest}"
