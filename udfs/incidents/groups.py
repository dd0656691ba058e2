"""Incidents that open together: which group they are of, and who moved first."""

from __future__ import annotations

import functools
from typing import Any

from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.udfs.events.time import epoch_milliseconds, rfc3339

MOST_NAMED, MOST_GROUPS = 50, 200  # entities that a group names, and groups that are followed,
KEPT = 86_400_000  # for so many milliseconds after their last incident


class Groups:
    """The incidents of one log that opened of late.

    An incident that opens soon after another is of its group, whose root is the first of all: the entity that moved first, and the
    field that was to blame.

    Parameters
    ----------
    within : int
        Milliseconds between two incidents of a group, event time; 0 is no groups.
    """

    def __init__(self, within: int) -> None:
        self.within = within
        self._group: dict[str, Any] | None = None
        self._last = 0

    def join(self, alert_id: str, entity: str, field: str | None, time: int) -> dict[str, Any] | None:
        """The group of an incident that opens: its id, how many are in it, and its root."""
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
        """Become what `to_state` told."""
        self._group, self._last = state


class AllGroups:
    """The incidents of all partitions that opened of late: what one log cannot know, because each sees its own entities alone.

    Partitions are not in step, so incidents come in any order: one that fits two groups joins them, and an earlier one becomes the root.

    Parameters
    ----------
    within : int
        Milliseconds between two incidents of a group, event time.
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
            Whether a group has ``opened`` or is ``updated``, and what is known of it: told for the second incident, whenever there are
            twice as many as told last, for another root, and when two groups become one.
        """
        time = epoch_milliseconds(alert["window"]["from"])
        shares = alert["contributions"]
        field = max(shares, key=shares.__getitem__) if shares else None
        new: dict[str, Any] = {
            "id": alert["alert_id"], "from": time, "to": time, "incidents": 1, "entities": [alert["entity"]],
            "partitions": [alert["source"]["partition"]], "groups": [], "told": 0, "joined": [],
            "root": {"entity": alert["entity"], "field": field, "time": time, "alert_id": alert["alert_id"]},
        }  # fmt: skip
        if alert.get("group"):
            new["groups"] = [alert["group"]["id"]]
        near = [g for g in self._groups if g["from"] - self.within <= time <= g["to"] + self.within]
        group = functools.reduce(_merged, near, new)
        others = [g for g in self._groups if g not in near and g["to"] >= time - KEPT]
        self._groups = [*others[-MOST_GROUPS:], group]
        again = any(g["told"] and g["root"] != group["root"] for g in near) or sum(g["told"] > 0 for g in near) > 1
        if group["incidents"] < 2 or not (again or group["incidents"] >= 2 * group["told"]):
            return None
        change = "updated" if group["told"] else "opened"
        group["told"] = group["incidents"]
        told = {key: value for key, value in group.items() if key != "told"}
        times = {"from": rfc3339(group["from"]), "to": rfc3339(group["to"])}
        return change, told | times | {"root": group["root"] | {"time": rfc3339(group["root"]["time"])}}

    def to_state(self) -> bytes:
        """All that is known, versioned."""
        return pack(self.kind, self.version, {"groups": self._groups}, {})

    def restore(self, state: bytes) -> None:
        """Become what `to_state` told; StateError where the bytes are no such thing."""
        meta, _ = unpack(state, self.kind, self.version)
        self._groups = meta["groups"]


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two groups as one, under the identity of the one that was told, or began, first."""
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
