"""What a person does to an entity while the job runs: look at what is known of it, forget it, learn from it again, take it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from streamgauge.udfs.control.messages import EntityAction
from streamgauge.udfs.entities.entity_store import (
    CONFIG,
    HISTORY,
    NEWEST,
    OPENED_OFFSET,
    OPENED_PARTITION,
    RECENT,
    RELEASED,
    SEEN,
    SLOT,
    STATUS,
)  # fmt: skip
from streamgauge.udfs.output.alert import alert_id
from streamgauge.udfs.output.cloud_event import cloud_event, rfc3339
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.scoring.normalise import CENTRE, HIGHEST, LAST, LOWEST, VALUES, VARIANCE

if TYPE_CHECKING:
    from streamgauge.udfs.pipeline.partition import LogPipeline

DONE = {"show": "shown", "forget": "forgotten", "release": "released", "rewind": "rewound"}


def act(log: LogPipeline, message: EntityAction, result: BatchResult) -> None:
    """Do what is asked with an entity, and tell what was known of it before; nothing where the log does not know it.

    Parameters
    ----------
    log : LogPipeline
    message : EntityAction
    result : BatchResult
        The answer is added to its notices.
    """
    for row in rows_of(log, message.entity):
        _act(log, message, row, result)
    watch = log.silence
    if message.action == "forget" and watch and watch.apart and message.entity in watch.store.index:
        log.let_depart(np.array([watch.store.index[message.entity]]), result)


def release(log: LogPipeline, entity: str) -> None:
    """Learn again from an entity whose events are held back, for as long as its incident lasts."""
    for row in rows_of(log, entity):
        _release(log, row)
        log.unsaved.rows.append(np.array([row]))


def _release(log: LogPipeline, row: int) -> None:
    head = log.store.head[row]
    head[HISTORY] = 0
    head[RELEASED] = int(head[STATUS] > 0)


def _rewind(log: LogPipeline, row: int) -> bool:
    """Take an entity back, and end its incident; False where there is no point to go back to."""
    point = log.points.of.pop(log.store.names[row], None)
    if point is None:
        return False
    head, fields = log.store.head[row], log.store.fields[row]
    fields[:] = 0.0
    fields[: len(point.fields)] = point.fields
    if head[SLOT]:
        log.rich.rewrite(int(head[SLOT]) - 1, point.rich)
    head[HISTORY] = head[RECENT] = 0
    head[STATUS:] = 0
    log.store.levels[row] = 0.0
    return True


def rows_of(log: LogPipeline, entity: str) -> list[int]:
    """Rows in which a log keeps what it knows of an entity."""
    row = log.store.index.get(entity)
    rows = log.situations.rows(entity) if log.situations else [] if row is None else [row]
    return [row for row in rows if log.store.head[row, SEEN]]


def _act(log: LogPipeline, message: EntityAction, row: int, result: BatchResult) -> None:
    name = log.store.names[row]
    data = {"action": message.action, "done": True, "why": None} | known_of(log, row)
    if message.action == "release":
        _release(log, row)
    elif message.action == "rewind" and not _rewind(log, row):
        data |= {"done": False, "why": "nothing was held back from learning of late"}
    if message.action == "forget":
        log.points.of.pop(name, None)
        log.let_go(np.array([row]), "entities_forgotten", result)
    else:
        log.unsaved.rows.append(np.array([row]))
    text = cloud_event(
        f"{message.id}-{log.prefix}{row}", f"entity.{DONE[message.action]}", message.entity, log.store.clock,
        data | {"request": message.id}, job=log.job, topic=log.topic,
    )  # fmt: skip
    result.notices.append((message.entity, text))


def known_of(log: LogPipeline, row: int) -> dict[str, Any]:
    """What a log knows of the entity in a row, for people."""
    head, name = log.store.head[row], log.store.names[row]
    entity, situation = log.situations.of(name) if log.situations else (name, {})
    incident = None
    if head[STATUS]:
        place = (int(head[k]) for k in (OPENED_PARTITION, OPENED_OFFSET))
        incident = alert_id(entity, int(head[CONFIG]), log.topic, *place)
    point = log.points.of.get(name)
    fields = {}
    for field, cell in zip(log.alignment.schema.numeric, log.store.fields[row].tolist(), strict=False):
        if cell[VALUES]:
            fields[field] = {
                "values": int(cell[VALUES]), "usual": cell[CENTRE], "deviation": cell[VARIANCE] ** 0.5, "from": cell[LOWEST],
                "to": cell[HIGHEST], "last": cell[LAST],
            }  # fmt: skip
    return {
        "entity": entity, "context": situation, "partition": log.log, "window": log.name or None, "events": int(head[SEEN]),
        "last_event": rfc3339(int(head[NEWEST])), "tier": "rich" if head[SLOT] else "light", "incident": incident,
        "held_back": bool(head[HISTORY] & 1), "rewind_to": None if point is None else rfc3339(point.time), "fields": fields,
    }  # fmt: skip
