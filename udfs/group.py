"""Incidents that open together: which group they are of, and who moved first."""

from __future__ import annotations

from typing import Any


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
