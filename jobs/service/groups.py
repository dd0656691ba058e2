"""Incidents that belong together: those that opened close together, on one partition or on several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, select
from streamgauge.jobs.service.tables import group_members


@dataclass(slots=True)
class Group:
    """Incidents that are shown together.

    Attributes
    ----------
    incidents : list of dict
        Rows of the history, in their order; there may be one only.
    size : int
        Number of incidents that the job counts in this group, those that have ended included.
    root : dict or None
        The first incident of the group: its ``entity`` and ``field``; None if the job groups no incidents.
    """

    incidents: list[dict[str, Any]]
    size: int
    root: dict[str, Any] | None


class Groups:
    """Which group of several partitions the groups of single partitions belong to, as notices of the job say.

    Parameters
    ----------
    engine : Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def together(self, incidents: list[dict[str, Any]]) -> list[Group]:
        """Incidents in groups. A group is where its first incident was, so the worst group stays first.

        Parameters
        ----------
        incidents : list of dict
            Rows of the history.
        """
        own = [one["first"].get("group") or {"id": one["alert_id"]} for one in incidents]
        query = select(group_members).where(group_members.c.group_id.in_({group["id"] for group in own}))
        with self._engine.connect() as connection:
            known = {
                row.group_id: {"id": row.whole, "incidents": row.incidents, "root": row.root}
                for row in connection.execute(query)
            }
        found: dict[str, Group] = {}
        for one, partial in zip(incidents, own, strict=True):
            whole = known.get(partial["id"], partial)
            group = found.setdefault(whole["id"], Group([], 1, whole.get("root")))
            group.incidents.append(one)
            group.size = max(group.size, whole.get("incidents", 1), len(group.incidents))
        return list(found.values())
