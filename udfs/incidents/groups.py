"""Incidents that open together: the group that each belongs to, and the entity that was the first.

In a large fleet, incidents that have nothing to do with each other open every few minutes. So two incidents belong together only if they
open closer together than incidents usually do; `Nearness` says how close that is.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.control.feedback import most_to_blame
from streamgauge.udfs.events.arrivals import Arrivals
from streamgauge.udfs.events.time import DAY, epoch_milliseconds, rfc3339

MOST_NAMED = 50  # entities, and groups of single partitions, that a group names
MOST_GROUPS = 200  # groups that are followed at a time
KEPT = DAY  # milliseconds for which a group is followed after its last incident
FINER = tuple(2**step for step in range(9))  # parts of `within` that are tried, the longest first
SELDOM = 0.2  # largest share of the spans of a length that have an incident, so that two incidents in one of them are a group
KNOWN = 12  # spans that must have passed before their share is used


class Nearness:
    """How close together incidents of a group open.

    Time is cut into spans, and the share of the last day's spans with an incident is followed, for spans of several lengths. Two unrelated
    incidents are as near as a span with a probability of about that share. A burst of incidents is in few spans, so it changes little.

    Parameters
    ----------
    within : int
        Longest distance, milliseconds of event time.
    """

    def __init__(self, within: int) -> None:
        self._longest = within
        self._lengths: list[int] = [length for part in FINER if (length := within // part) > 0]
        # For each length: number of the last span with an incident (-1: none), spans with one, and all spans; older spans count less.
        self._counts: list[list[float]] = [[-1, 0.0, 0.0] for _ in self._lengths]

    def add(self, time: int) -> None:
        """Learn that an incident opened; `time` is event time in milliseconds. Incidents before the last one change nothing."""
        for length, counts in zip(self._lengths, self._counts, strict=True):
            span, (last, filled, spans) = time // length, counts
            if span > last:
                passed = span - last if last >= 0 else 1
                fade = math.exp(-passed * length / DAY)
                counts[:] = [span, filled * fade + 1.0, spans * fade + (1.0 - fade) * DAY / length]

    @property
    def within(self) -> int:
        """Longest distance of two incidents of a group now, milliseconds of event time; 0 for no groups."""
        for length, (_, filled, spans) in zip(self._lengths, self._counts, strict=True):
            if spans < KNOWN or filled < SELDOM * spans:
                return length
        return self._lengths[-1] if self._lengths else 0

    def to_state(self) -> list[Any]:
        """All that was learned."""
        return [self._longest, self._counts]

    def restore(self, state: list[Any]) -> None:
        """Restore what `to_state` gave. A state for another longest distance is not used."""
        longest, counts = state
        if longest == self._longest:
            self._counts = [list(of_length) for of_length in counts]


class Groups:
    """The groups of incidents of one partition.

    An incident that opens soon after another one belongs to the same group. The root of a group is its first incident: the entity, and
    the field with the largest share.

    Parameters
    ----------
    within : int
        Longest time between two incidents of a group, milliseconds of event time; 0 for no groups.
    """

    def __init__(self, within: int) -> None:
        self._near = Nearness(within)
        self._group: dict[str, Any] | None = None
        self._last = 0

    def join(self, alert_id: str, entity: str, field: str | None, time: int) -> dict[str, Any] | None:
        """Add an incident that opens to a group.

        Parameters
        ----------
        alert_id, entity : str
        field : str or None
            The one with the largest share; None if none has a share, as where only a rule is broken.
        time : int
            Event time, milliseconds.

        Returns
        -------
        dict or None
            The group with this incident: its id, the number of its incidents, and its root. None where incidents are not grouped.
        """
        within = self._near.within
        if not within:
            return None
        self._near.add(time)
        alone: dict[str, Any] = {
            "id": alert_id,
            "incidents": 1,
            "root": {"entity": entity, "field": field, "time": time},
        }
        if self._group is not None and time < self._last - within:
            return alone  # the group of the incidents around it goes on
        if self._group is None or time > self._last + within:
            self._group = alone | {"incidents": 0}
        self._group["incidents"] += 1
        self._last = max(self._last, time) if self._group["incidents"] > 1 else time
        return self._group

    def to_state(self) -> list[Any]:
        """All that was learned."""
        return [self._group, self._last, self._near.to_state()]

    def restore(self, state: list[Any]) -> None:
        """Restore what `to_state` gave."""
        self._group, self._last, *near = state
        if near:  # an older release did not save it
            self._near.restore(near[0])


class AllGroups:
    """The groups of incidents of all partitions. A single partition does not see the incidents of the others.

    The partitions do not advance at the same speed, so incidents come in any order. Therefore an incident that fits two groups merges
    them, and an incident that is earlier than the root of its group becomes the root. While incidents are rare, their order does not
    matter.

    Parameters
    ----------
    within : int
        Longest time between two incidents of a group, milliseconds of event time.
    """

    kind = "groups of all partitions"
    version = 1

    def __init__(self, within: int) -> None:
        self._near = Nearness(within)
        self._arrivals = Arrivals()  # of incidents: a wrong time of one of them must not end the groups of others
        self._groups: list[dict[str, Any]] = []

    def join(self, alert: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """Add an incident that opened.

        Parameters
        ----------
        alert : dict
            The data of its alert.

        Returns
        -------
        (str, dict) or None
            ``opened`` or ``updated``, and the data of a notice about the group. A group is reported when it gets its second incident,
            whenever its incidents have doubled since the last report, when its root changes, and when two reported groups are merged.
            None if there is nothing to report.
        """
        time = epoch_milliseconds(alert["window"]["from"])
        field = most_to_blame(alert["contributions"])
        new: dict[str, Any] = {
            "id": alert["alert_id"],
            "from": time,
            "to": time,
            "incidents": 1,
            "entities": [alert["entity"]],
            "partitions": [alert["source"]["partition"]],
            "groups": [],
            "told": 0,
            "joined": [],
            "root": {"entity": alert["entity"], "field": field, "time": time, "alert_id": alert["alert_id"]},
        }
        if alert.get("group"):
            new["groups"] = [alert["group"]["id"]]
        within, now = self._near.within, int(self._arrivals.bounded(np.array([time]))[0])
        self._near.add(now)
        near = [g for g in self._groups if g["from"] - within <= time <= g["to"] + within]
        group = functools.reduce(_merged, near, new)
        others = [g for g in self._groups if g not in near and g["to"] >= now - KEPT]
        self._groups = [*others[-MOST_GROUPS:], group]
        # The key `told` is part of saved state: the number of incidents at the last report, 0 before the first one.
        other_root = any(g["told"] and g["root"] != group["root"] for g in near)
        merged = sum(g["told"] > 0 for g in near) > 1
        if group["incidents"] < 2 or not (other_root or merged or group["incidents"] >= 2 * group["told"]):
            return None
        change = "updated" if group["told"] else "opened"
        group["told"] = group["incidents"]
        data = {key: value for key, value in group.items() if key != "told"}
        times = {"from": rfc3339(group["from"]), "to": rfc3339(group["to"])}
        return change, data | times | {"root": group["root"] | {"time": rfc3339(group["root"]["time"])}}

    def to_state(self) -> bytes:
        """All groups that are followed, versioned."""
        meta = {"groups": self._groups, "near": self._near.to_state(), "arrivals": self._arrivals.to_state()}
        return pack(self.kind, self.version, meta, {})

    def restore(self, state: bytes) -> None:
        """Restore what `to_state` gave.

        Raises
        ------
        StateError
            The bytes are no state of groups, or of a version that is not known.
        """
        meta, _ = unpack(state, self.kind, self.version)
        self._groups = meta["groups"]
        if "near" in meta:  # an older release did not save it
            self._near.restore(meta["near"])
        if "arrivals" in meta:  # nor these
            self._arrivals.restore(meta["arrivals"])


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two groups merged. The id is that of a group that was reported before; of two such groups, or of none, that of the earlier one."""
    first, second = sorted((one, other), key=lambda g: (not g["told"], g["from"]))
    return {
        "id": first["id"],
        "from": min(one["from"], other["from"]),
        "to": max(one["to"], other["to"]),
        "incidents": one["incidents"] + other["incidents"],
        "entities": list(dict.fromkeys(first["entities"] + second["entities"]))[:MOST_NAMED],
        "partitions": sorted({*one["partitions"], *other["partitions"]}),
        "groups": list(dict.fromkeys(first["groups"] + second["groups"]))[:MOST_NAMED],
        "told": max(one["told"], other["told"]),
        "joined": first["joined"] + second["joined"] + [second["id"]] * bool(second["told"]),
        "root": min(one["root"], other["root"], key=lambda root: (root["time"], root["alert_id"])),
    }
