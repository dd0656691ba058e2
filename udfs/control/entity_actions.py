"""Requests about an entity while the job runs: show it, forget it, release it from quarantine, rewind it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from streamgauge.udfs.control.messages import EntityAction
from streamgauge.udfs.entities.columns import (
    CENTRE,
    CONFIG,
    HIGHEST,
    HISTORY,
    LAST_VALUE,
    LOWEST,
    NEWEST,
    OPENED_OFFSET,
    OPENED_PARTITION,
    SEEN,
    SLOT,
    STATUS,
    VALUES,
    VARIANCE,
)
from streamgauge.udfs.entities.knowledge import Entities, Forgotten
from streamgauge.udfs.events.schema import Alignment
from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.output.alert import alert_id
from streamgauge.udfs.output.cloud_event import Origin

# What the answer to each action is called.
DONE = {"show": "shown", "forget": "forgotten", "release": "released", "rewind": "rewound"}


class EntityActions:
    """Answers the requests about the entities of one source of events.

    Parameters
    ----------
    entities : Entities
    alignment : Alignment
        Names of the fields.
    origin : Origin
    window : str
        Name of the windows whose aggregates are the events; empty for the events themselves.
    """

    def __init__(self, entities: Entities, alignment: Alignment, origin: Origin, window: str) -> None:
        self._entities, self._alignment, self._origin, self._window = entities, alignment, origin, window
        self._prefix = f"{origin.key}/w:{window}/" if window else f"{origin.key}/"

    def act(self, message: EntityAction, row: int) -> tuple[tuple[str, bytes], Forgotten | None]:
        """Do what is asked with the entity in a row, and report what was known of it before.

        Parameters
        ----------
        message : EntityAction
        row : int
            Row of the entity in the store.

        Returns
        -------
        notice : (str, bytes)
            Key and JSON of the answer.
        forgotten : Forgotten or None
            The entity, if it was forgotten.
        """
        entities, forgotten = self._entities, None
        now = entities.store.clock
        data = {"action": message.action, "done": True, "why": None} | self.known_of(row)
        if message.action == "release":
            entities.release(row)
        elif message.action == "rewind" and not entities.rewind(row):
            data |= {"done": False, "why": "no event of this entity was quarantined lately"}
        # Not the row: the request may be done again after a restart, when the entity has another one.
        name = hashlib.blake2b(entities.store.names[row].encode(), digest_size=6).hexdigest()
        identity, kind = f"{message.id}-{self._prefix}{name}", f"entity.{DONE[message.action]}"
        text = self._origin.event(identity, kind, message.entity, now, data | {"request": message.id})
        if message.action == "forget":
            forgotten = entities.forget(np.array([row]))
        else:
            entities.changes.rows.append(np.array([row]))
        return (message.entity, text), forgotten

    def known_of(self, row: int) -> dict[str, Any]:
        """What is known of the entity in a row, for people to read: its events, its incident, and what is usual in each field."""
        entities = self._entities
        head, name = entities.store.head[row], entities.store.names[row]
        entity, situation = entities.situations.of(name) if entities.situations else (name, {})
        incident = None
        if head[STATUS]:
            opened_at = (int(head[k]) for k in (OPENED_PARTITION, OPENED_OFFSET))
            incident = alert_id(entity, int(head[CONFIG]), self._origin.topic, *opened_at)
        rewind_point = entities.points.of.get(name)
        fields = {}
        for field, cell in zip(self._alignment.schema.numeric, entities.store.fields[row].tolist(), strict=False):
            if cell[VALUES]:
                fields[field] = {
                    "values": int(cell[VALUES]),
                    "usual": cell[CENTRE],
                    "deviation": cell[VARIANCE] ** 0.5,
                    "from": cell[LOWEST],
                    "to": cell[HIGHEST],
                    "last": cell[LAST_VALUE],
                }
        return {
            "entity": entity,
            "context": situation,
            "partition": self._origin.partition,
            **self._origin.further,
            "window": self._window or None,
            "events": int(head[SEEN]),
            "last_event": rfc3339(int(head[NEWEST])),
            "tier": "rich" if head[SLOT] else "light",
            "incident": incident,
            "held_back": bool(head[HISTORY] & 1),
            "rewind_to": None if rewind_point is None else rfc3339(rewind_point.time),
            "fields": fields,
        }
