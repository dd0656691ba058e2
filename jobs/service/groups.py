"""Incidents that belong together: those that opened close together, on one partition or on several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, select
from streamgauge.jobs.service.notices import GROUPED
from streamgauge.jobs.service.tables import notices

MOST = 500  # newest notices about groups of several partitions that are read


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
        query = select(notices.c.data).where(notices.c.type.in_(GROUPED)).order_by(notices.c.time.desc()).limit(MOST)
        with engine.connect() as connection:
            told = connection.scalars(query).all()
        self._of: dict[str, dict[str, Any]] = {}
        for data in sorted(
            told, key=lambda one: one["incidents"]
        ):  # a group only grows, so its newest notice counts most
            self._of |= dict.fromkeys(data["groups"], data)

    def together(self, incidents: list[dict[str, Any]]) -> list[Group]:
        """Incidents in groups. A group is where its first incident was, so the worst group stays first.

        Parameters
        ----------
        incidents : list of dict
            Rows of the history.
        """
        found: dict[str, Group] = {}
        for one in incidents:
            own = one["first"].get("group") or {"id": one["alert_id"]}
            whole = self._of.get(own["id"], own)
            group = found.setdefault(whole["id"], Group([], 1, whole.get("root")))
            group.incidents.append(one)
            group.size = max(group.size, whole.get("incidents", 1), len(group.incidents))
        return list(found.values())
