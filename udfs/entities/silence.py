"""Entities that stop sending: told after their own usual gap, and when they are back.

Time is that of arrival, Kafka's timestamps: a device whose clock is wrong must not make all others look silent.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from streamgauge.models.contract import Ints
from streamgauge.udfs.entities.entity_store import ARRIVED, CLOCK, GAP, LAST, SEEN, SILENT, EntityStore
from streamgauge.udfs.incidents.lifecycle import COLLECTIVE, KINDS, OPENED, RESOLVED
from streamgauge.udfs.incidents.suppress import in_maintenance
from streamgauge.udfs.output.alert import CHANGES, alert_id, score_of
from streamgauge.udfs.output.cloud_event import cloud_event, rfc3339
from streamgauge.udfs.settings.pipeline import Maintenance, SilenceSettings

FADES = 512  # the longest gap shrinks by one in so many with each event that comes sooner
MEMBER = "silence"


class SilenceWatch:
    """The silent entities of one log.

    Parameters
    ----------
    settings : SilenceSettings
    store : EntityStore, optional
        What is known of the entities; unless given, the watch has one of its own, for what matters to it: where what is known is kept for
        each situation of an entity, one that is in another situation is not silent.
    topic, job : str
    log : int
        Partition, or -1.
    config : int
        Mark of the configuration.

    Attributes
    ----------
    clock : int
        Newest arrival, milliseconds.
    apart : bool
        Whether the store is its own.
    """

    def __init__(
        self, settings: SilenceSettings, store: EntityStore | None, topic: str, job: str, log: int, config: int
    ) -> None:
        self.settings = settings
        self.apart = store is None
        self.store = EntityStore(0, timed=True) if store is None else store
        self.topic, self.job, self.log, self.config = topic, job, log, config
        self.clock = 0
        self.every = max(1_000, settings.at_least // 4)  # milliseconds between looks

    def rows(self, entities: list[str], rows: Ints) -> Ints:
        """Row of each entity here, given its row where everything else is known of it."""
        return self.store.rows(entities, 0) if self.apart else rows

    def cuts(self, arrivals: Ints) -> tuple[Ints, Ints]:
        """Events before which to look, and the time it is then: the same ones however the log is cut into batches."""
        clock = np.maximum.accumulate(np.maximum(arrivals, self.clock))
        ticks = clock // self.every
        before = np.concatenate(([self.clock // self.every], ticks[:-1]))
        places = np.flatnonzero((ticks != before) & (before > 0))
        return places, ticks[places] * self.every

    def look(self, now: int, maintenance: tuple[Maintenance, ...]) -> tuple[Ints, list[tuple[str, bytes]]]:
        """Rows of the entities that are silent by now and were not told yet, in order of their last event, and their alerts.

        Parameters
        ----------
        now : int
            Milliseconds, arrival time.
        maintenance : tuple of Maintenance
            In these, silence is not told.
        """
        settings, names = self.settings, self.store.names
        head = self.store.head[: len(names)]
        limit = np.maximum(settings.after * head[:, GAP], settings.at_least)
        over = (head[:, SEEN] >= settings.events) & (head[:, SILENT] == 0) & (now - head[:, ARRIVED] > limit)
        rows = np.flatnonzero(over)
        rows = rows[np.lexsort((head[rows, LAST], head[rows, ARRIVED]))]
        rows = rows[[not in_maintenance(maintenance, names[row], now) for row in rows.tolist()]]
        head[rows, SILENT] = now
        return rows, [self._alert(row, OPENED, now, head[row]) for row in rows.tolist()]

    def returning(self, rows: Ints) -> list[tuple[int, Ints]]:
        """Events with which silent entities come back, and each one's row of `EntityStore.head` before anything changes it."""
        head = self.store.head
        away = np.flatnonzero(head[rows, SILENT] > 0)
        _, first = np.unique(rows[away], return_index=True)
        return [(i, head[rows[i]].copy()) for i in away[np.sort(first)].tolist()]

    def learn(
        self, rows: Ints, arrivals: Ints, offsets: Ints, returning: list[tuple[int, Ints]]
    ) -> list[tuple[str, bytes]]:
        """Take note of when events came, in row order; alerts of those that are `returning` with them.

        A gap that was told as silence counts half: the next one like it is silence again, the one after a few no more.
        """
        self.clock = max(self.clock, int(arrivals.max(initial=0)))
        head = self.store.head
        _gaps(head, rows, arrivals, offsets)
        if self.apart:  # nobody else counts there
            np.add.at(head[:, SEEN], rows, 1)
            head[rows, CLOCK] = head[rows, ARRIVED]
            self.store.clock = self.clock
        back = [(i, before) for i, before in returning if i < len(rows)]
        return [self._alert(int(rows[i]), RESOLVED, int(arrivals[i]), before) for i, before in back]

    def forget(self, gone: Ints) -> tuple[list[tuple[str, bytes]], list[str]]:
        """Forget the entities in some rows of a store of its own: alerts of those that are silent, and all their names."""
        return self.give_up(gone), self.store.forget(gone)[0]

    def give_up(self, rows: Ints) -> list[tuple[str, bytes]]:
        """Alerts of entities that are about to be forgotten while silent."""
        head = self.store.head
        return [self._alert(row, RESOLVED, self.clock, head[row]) for row in rows[head[rows, SILENT] > 0].tolist()]

    def _alert(self, row: int, change: int, now: int, before: Ints) -> tuple[str, bytes]:
        """Key and JSON of the alert that an entity has fallen silent, or is back.

        Parameters
        ----------
        row : int
        change : {OPENED, RESOLVED}
        now : int
            When it was told, or when the entity came back; milliseconds.
        before : int64[columns]
            Row of `EntityStore.head` as it was in the silence.
        """
        entity, state = self.store.names[row], CHANGES[change]
        last, arrived, gap, seen = before[[LAST, ARRIVED, GAP, SEEN]].tolist()
        identity = alert_id(f"{entity}\0{MEMBER}", self.config, self.topic, self.log, last)
        # among n gaps, if they are exponential, one k times as long as the longest has a probability of about n^-k
        surprise = min(self.settings.after * math.log(max(seen, 2)), 700.0)
        place = {"partition": self.log, "offset": last, "opened_partition": self.log, "opened_offset": last}
        data = {
            "alert_id": identity,
            "state": state,
            "entity": entity,
            "kind": KINDS[COLLECTIVE],
            "severity": "high",
            "score": score_of(surprise),
            "tail_probability": math.exp(-surprise),
            "peak_score": score_of(surprise),
            "confidence": 1.0,
            "window": {"from": rfc3339(arrived), "to": rfc3339(now), "anomalous_events": 0},
            "actual": {"seconds without an event": (now - arrived) / 1000.0},
            "expected": {"seconds without an event": gap / 1000.0},
            "contributions": {"seconds without an event": 1.0},
            "detectors": {MEMBER: {"tail_probability": math.exp(-surprise), "version": "settings"}},
            "agreed": [MEMBER],
            "disagreed": [],
            "rules": [],
            "source": {"topic": self.topic, **place},
        }
        kind = f"alert.{state}"
        return entity, cloud_event(f"{identity}-{state}", kind, entity, now, data, job=self.job, topic=self.topic)


@njit(cache=True)
def _gaps(head, rows, arrivals, offsets):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        row = rows[i]
        gap = arrivals[i] - head[row, ARRIVED]
        if head[row, ARRIVED] > 0 and gap > 0:
            if gap <= head[row, GAP]:
                head[row, GAP] -= head[row, GAP] // FADES
            elif head[row, SILENT] > 0:
                head[row, GAP] = max(head[row, GAP], gap // 2)
            else:
                head[row, GAP] = gap
        head[row, SILENT] = 0
        head[row, ARRIVED] = max(head[row, ARRIVED], arrivals[i])
        head[row, LAST] = offsets[i]
