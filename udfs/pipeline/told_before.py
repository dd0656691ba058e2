"""Incidents that an earlier run of the job told of, and that this run does not know: they are resolved, as nobody else would do it.

A job that starts from a checkpoint or a savepoint reads the events after it again. Control messages, feedback and settings may be newer
than the first time, so an incident that opened then may not open now. The same is true of a silence that was told by the clock of the
machine, of windows that are no longer in the settings, and of a job that starts without its state.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import msgspec
from streamgauge.udfs.events.time import epoch_milliseconds
from streamgauge.udfs.incidents.kinds import CHANGES, OPEN, RESOLVED
from streamgauge.udfs.output.alert import SILENCE
from streamgauge.udfs.output.cloud_event import Origin
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.pipeline.partition import Partition
from streamgauge.udfs.pipeline.shard import Shard

UNKNOWN = "unknown"  # reason in the alert
WHY = "the job started again from an earlier state, or without one, and this incident did not open again"
OF_FIRST_RUN = ("group", "followed_by", "amended")  # what an alert said that does not hold at its end

log = logging.getLogger(__name__)


class _Source(msgspec.Struct):
    topic: str
    partition: int
    offset: int


class _Window(msgspec.Struct):
    to: str


class _Aggregate(msgspec.Struct):
    window: str
    to: str


class _Data(msgspec.Struct):
    alert_id: str
    state: str
    entity: str
    window: _Window
    source: _Source
    detectors: dict[str, Any]
    aggregate: _Aggregate | None = None


class _Alert(msgspec.Struct):
    source: str
    time: str
    data: _Data


Open = dict[str, tuple[_Alert, bytes]]  # newest alert of each incident, by its id


class ToldBefore:
    """The incidents that are open by the topic of alerts, until it is clear that a shard knows them or will never do so.

    Parameters
    ----------
    open_at : dict of (str, int) to dict
        By topic and partition of the events: newest alert of each open incident, by its id.
    """

    def __init__(self, open_at: dict[tuple[str, int], Open]) -> None:
        self._open_at = open_at

    @classmethod
    def of_topic(cls, job: str, texts: Iterable[bytes]) -> ToldBefore:
        """Read alerts in the order of their topic; those of other jobs do not count."""
        newest: Open = {}
        for text in texts:
            alert = _read(text)
            if alert is not None and alert.source.startswith(f"/streamgauge/{job}/"):
                newest[alert.data.alert_id] = alert, text
        open_at: dict[tuple[str, int], Open] = {}
        for identity, (alert, text) in newest.items():
            if alert.data.state in OPEN:
                open_at.setdefault((alert.data.source.topic, alert.data.source.partition), {})[identity] = alert, text
        return cls(open_at)

    def copy(self) -> ToldBefore:
        """The same incidents, for another shard."""
        return ToldBefore({place: dict(found) for place, found in self._open_at.items()})

    def settle(self, shard: Shard, result: BatchResult) -> None:
        """Resolve what the shard has passed and does not know.

        Parameters
        ----------
        shard : Shard
        result : BatchResult
            Result of its last batch; alerts are added.
        """
        again: set[str] | None = None
        for partition in shard.partitions.values():
            for told in self._of(partition.origin):
                if again is None:  # the state has these incidents again
                    again = {alert.data.alert_id for _, text in result.alerts if (alert := _read(text))}
                for identity in again & told.keys():
                    del told[identity]
                passed = [identity for identity, (alert, _) in told.items() if _is_passed(alert.data, partition)]
                known = partition.open_alerts() if passed else set()
                for identity in passed:
                    alert, text = told.pop(identity)
                    # An unknown entity of a shard of entities may be one of another shard.
                    if identity not in known and (
                        partition.origin.partition >= 0 or partition.knows(alert.data.entity)
                    ):
                        log.warning("alert %s of an earlier run did not open again: it is resolved", identity)
                        result.alerts.append(_resolved(alert, text, partition.origin))
                        result.count("alerts.resolved")

    def _of(self, origin: Origin) -> list[Open]:
        """What may belong to a source of events: a shard of entities has events of all partitions."""
        if origin.partition >= 0:
            found = self._open_at.get((origin.topic, origin.partition))
            return [found] if found else []
        return [found for (topic, _), found in self._open_at.items() if found and topic == origin.topic]


def _read(text: bytes) -> _Alert | None:
    """An alert; None for what is none, because others may write to the topic, too."""
    try:
        alert = msgspec.json.decode(text, type=_Alert)
        for time in (alert.time, alert.data.window.to, *([alert.data.aggregate.to] if alert.data.aggregate else [])):
            epoch_milliseconds(time)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, OverflowError):
        return None
    return alert


def _is_passed(told: _Data, partition: Partition) -> bool:
    """Whether a partition has processed all that led to an alert, so that the alert would have come again by now."""
    origin, source, windows, silence = (
        partition.origin,
        told.source,
        partition.windows,
        partition.stages.entities.silence,
    )
    if source.topic != origin.topic or (origin.partition >= 0 and source.partition != origin.partition):
        return False
    if origin.partition < 0 and not partition.knows(told.entity):  # another shard may have this entity
        return False
    if SILENCE in told.detectors:
        return silence is None or silence.clock > epoch_milliseconds(told.window.to)
    of_window = windows.of.get(told.aggregate.window) if windows and told.aggregate else None
    if told.aggregate and of_window and of_window.closed < epoch_milliseconds(told.aggregate.to):
        return False
    return partition.stages.offsets.get(told.source.partition, -1) > told.source.offset


def _resolved(alert: _Alert, text: bytes, origin: Origin) -> tuple[str, bytes]:
    """Key and JSON of the alert that resolves an incident of an earlier run."""
    state, data = CHANGES[RESOLVED], msgspec.json.decode(text)["data"]
    data = {key: value for key, value in data.items() if key not in OF_FIRST_RUN}
    data |= {"state": state, "reason": UNKNOWN, "why": WHY}
    identity = f"{alert.data.alert_id}-{state}-{UNKNOWN}"
    entity, time = alert.data.entity, epoch_milliseconds(alert.time)
    return entity, origin.event(identity, f"alert.{state}", entity, time, data)
