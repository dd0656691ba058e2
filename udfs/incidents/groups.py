"""Incidents that open together: the group that each belongs to, and the entity that was the first."""

from __future__ import annotations

import functools
from typing import Any

from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.events.time import epoch_milliseconds, rfc3339

MOST_NAMED = 50  # entities, and groups of single partitions, that a group names
MOST_GROUPS = 200  # groups that are followed at a time
KEPT = 86_400_000  # milliseconds for which a group is followed after its last incident


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
        self.within = within
        self._group: dict[str, Any] | None = None
        self._last = 0

    def join(self, alert_id: str, entity: str, field: str | None, time: int) -> dict[str, Any] | None:
        """Add an incident that opens to a group.

        Parameters
        ----------
        alert_id, entity : str
        field : str or None
            The one with the largest share.
        time : int
            Event time, milliseconds.

        Returns
        -------
        dict or None
            The group with this incident: its id, the number of its incidents, and its root. None where incidents are not grouped.
        """
        if not self.within:
            return None
        if self._group is None or abs(time - self._last) > self.within:
            self._group = {"id": alert_id, "incidents": 0, "root": {"entity": entity, "field": field, "time": time}}
        self._group["incidents"] += 1
        self._last = max(self._last, time) if self._group["incidents"] > 1 else time
        return self._group

    def to_state(self) -> list[Any]:
        """All that was learned."""
        return [self._group, self._last]

    def restore(self, state: list[Any]) -> None:
        """Restore what `to_state` gave."""
        self._group, self._last = state


class AllGroups:
    """The groups of incidents of all partitions. A single partition does not see the incidents of the others.

    The partitions do not advance at the same speed, so incidents come in any order. Therefore an incident that fits two groups merges
    them, and an incident that is earlier than the root of its group becomes the root.

    Parameters
    ----------
    within : int
        Longest time between two incidents of a group, milliseconds of event time.
    """

    kind = "groups of all partitions"
    version = 1

    def __init__(self, within: int) -> None:
        self.within = within
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
        shares = alert["contributions"]
        field = max(shares, key=shares.__getitem__) if shares else None
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
        near = [g for g in self._groups if g["from"] - self.within <= time <= g["to"] + self.within]
        group = functools.reduce(_merged, near, new)
        others = [g for g in self._groups if g not in near and g["to"] >= time - KEPT]
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
        return pack(self.kind, self.version, {"groups": self._groups}, {})

    def restore(self, state: bytes) -> None:
        """Restore what `to_state` gave.

        Raises
        ------
        StateError
            The bytes are no state of groups, or of a version that is not known.
        """
        meta, _ = unpack(state, self.kind, self.version)
        self._groups = meta["groups"]


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
