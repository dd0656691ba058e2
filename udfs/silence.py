"""Entities that stop sending: told after their own usual gap, and when they are back.

Time is that of arrival, Kafka's timestamps: a device whose clock is wrong must not make all others look silent.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from numba import njit
from streamgauge.models.contract import Ints
from streamgauge.udfs.admit import in_maintenance
from streamgauge.udfs.alert import CHANGES, alert_id, rfc3339, score_of
from streamgauge.udfs.context import ARRIVED, GAP, LAST, SEEN, SILENT, EntityStore
from streamgauge.udfs.decide import OPENED, RESOLVED
from streamgauge.udfs.settings import Maintenance, SilenceSettings

FADES = 512  # events after which half to two thirds of the longest gap are forgotten
MEMBER = "silence"
_encoder = msgspec.json.Encoder()


def learn_gaps(store: EntityStore, rows: Ints, arrivals: Ints, offsets: Ints, settings: SilenceSettings) -> Ints:
    """Take note of when events came, in row order.

    A gap that was told as silence counts half: the next one like it is silence again, the one after a few no more.

    Parameters
    ----------
    store : EntityStore
        Changed in place.
    rows, arrivals, offsets : int64[n]
    settings : SilenceSettings

    Returns
    -------
    int64[m]
        Events with which a silent entity is back.
    """
    back = np.zeros(len(rows), np.bool_)
    _gaps(store.head, rows, arrivals, offsets, settings.events, back)
    return np.flatnonzero(back)


def silent(store: EntityStore, now: int, settings: SilenceSettings, maintenance: tuple[Maintenance, ...]) -> list[int]:
    """Rows of the entities that are silent by now and were not told yet, marked as told; in order of their last event.

    Parameters
    ----------
    store : EntityStore
    now : int
        Milliseconds, arrival time.
    settings : SilenceSettings
    maintenance : tuple of Maintenance
        In these, silence is not told.
    """
    head = store.head[: len(store.names)]
    limit = np.maximum(settings.after * head[:, GAP], settings.at_least)
    over = (head[:, SEEN] >= settings.events) & (head[:, SILENT] == 0) & (now - head[:, ARRIVED] > limit)
    rows = np.flatnonzero(over)
    rows = rows[np.lexsort((head[rows, LAST], head[rows, ARRIVED]))]
    told = [row for row in rows.tolist() if not in_maintenance(maintenance, store.names[row], now)]
    head[told, SILENT] = now
    return told


def silence_alert(
    store: EntityStore,
    row: int,
    change: int,
    now: int,
    settings: SilenceSettings,
    *,
    topic: str,
    job: str,
    log: int,
    config: int,
    last: int,
    arrived: int,
    gap: int,
) -> tuple[str, bytes]:
    """Key and JSON of the alert that an entity has fallen silent, or is back.

    Parameters
    ----------
    store : EntityStore
    row : int
    change : {OPENED, RESOLVED}
    now : int
        When it was told, or when the entity came back; milliseconds.
    settings : SilenceSettings
    topic, job : str
    log : int
        Partition, or -1.
    config : int
        Mark of the configuration.
    last, arrived, gap : int
        Offset and arrival of the last event before the silence, and the longest usual gap.
    """
    entity, state = store.names[row], CHANGES[change]
    identity = alert_id(f"{entity}\0{MEMBER}", config, topic, log, last)
    # among n gaps, if they are exponential, one k times as long as the longest has a probability of about n^-k
    surprise = min(settings.after * math.log(max(int(store.head[row, SEEN]), 2)), 700.0)
    data: dict[str, Any] = {
        "alert_id": identity,
        "state": state,
        "entity": entity,
        "kind": "collective",
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
        "source": {"topic": topic, "partition": log, "offset": last, "opened_partition": log, "opened_offset": last},
    }
    envelope = {
        "specversion": "1.0",
        "id": f"{identity}-{state}",
        "source": f"/streamgauge/{job}/{topic}",
        "type": f"io.streamgauge.alert.{state}",
        "subject": entity,
        "time": rfc3339(now),
        "datacontenttype": "application/json",
        "data": data,
    }
    return entity, _encoder.encode(envelope)


class SilenceWatch:
    """The silent entities of one log.

    Parameters
    ----------
    settings : SilenceSettings
    store : EntityStore
    topic, job : str
    log : int
    config : int
        Mark of the configuration.

    Attributes
    ----------
    clock : int
        Newest arrival, milliseconds.
    """

    def __init__(
        self, settings: SilenceSettings, store: EntityStore, topic: str, job: str, log: int, config: int
    ) -> None:
        self.settings, self.store = settings, store
        self.topic, self.job, self.log, self.config = topic, job, log, config
        self.clock = 0
        self.every = max(1_000, settings.at_least // 4)  # milliseconds between looks

    def cuts(self, arrivals: Ints) -> tuple[Ints, Ints]:
        """Events before which to look, and the time it is then: the same ones however the log is cut into batches."""
        clock = np.maximum.accumulate(np.maximum(arrivals, self.clock))
        ticks = clock // self.every
        before = np.concatenate(([self.clock // self.every], ticks[:-1]))
        places = np.flatnonzero((ticks != before) & (before > 0))
        return places, ticks[places] * self.every

    def look(self, now: int, maintenance: tuple[Maintenance, ...]) -> tuple[Ints, list[tuple[str, bytes]]]:
        """Rows that have fallen silent, and their alerts."""
        rows = silent(self.store, now, self.settings, maintenance)
        alerts = [self._alert(row, OPENED, now) for row in rows]
        return np.array(rows, dtype=np.int64), alerts

    def learn(self, rows: Ints, arrivals: Ints, offsets: Ints) -> list[tuple[str, bytes]]:
        """Take note of events; alerts of the entities that are back with them."""
        self.clock = max(self.clock, int(arrivals.max(initial=0)))
        held = self.store.head[rows][:, [LAST, ARRIVED, GAP]]
        back = learn_gaps(self.store, rows, arrivals, offsets, self.settings)
        return [self._alert(int(rows[i]), RESOLVED, int(arrivals[i]), held[i]) for i in back.tolist()]

    def give_up(self, rows: Ints) -> list[tuple[str, bytes]]:
        """Alerts of entities that are about to be forgotten while silent."""
        silent_ones = rows[self.store.head[rows, SILENT] > 0]
        return [self._alert(row, RESOLVED, self.clock) for row in silent_ones.tolist()]

    def _alert(self, row: int, change: int, now: int, held: Ints | None = None) -> tuple[str, bytes]:
        last, arrived, gap = (self.store.head[row, [LAST, ARRIVED, GAP]] if held is None else held).tolist()
        return silence_alert(
            self.store, row, change, now, self.settings, topic=self.topic, job=self.job, log=self.log, config=self.config,
            last=last, arrived=arrived, gap=gap,
        )  # fmt: skip


@njit(cache=True)
def _gaps(head, rows, arrivals, offsets, enough, back):  # type: ignore[no-untyped-def]
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
        back[i] = head[row, SILENT] > 0
        head[row, SILENT] = 0
        head[row, ARRIVED] = max(head[row, ARRIVED], arrivals[i])
        head[row, LAST] = offsets[i]
