"""The list of what was changed by whom. It also keeps feedback until Kafka has it, so that a service that is killed loses none."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Engine, delete, select, update
from streamgauge.jobs.service.tables import audit


class Audit:
    """The list of changes.

    Parameters
    ----------
    engine : Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def note(self, who: str, action: str, data: dict[str, Any], unsent: str | None = None) -> int:
        """Add a change to the list.

        Parameters
        ----------
        who, action : str
        data : dict
        unsent : str, optional
            Message that Kafka is to get; see `sent`.

        Returns
        -------
        int
            Number of the change.
        """
        row = {"time": int(time.time() * 1000), "who": who, "action": action, "data": data, "unsent": unsent}
        with self._engine.begin() as connection:
            return int(connection.scalar(audit.insert().values(row).returning(audit.c.number)))

    def sent(self, number: int) -> None:
        """Note that Kafka has the message of a change."""
        with self._engine.begin() as connection:
            connection.execute(update(audit).where(audit.c.number == number).values(unsent=None))

    def take_back(self, number: int) -> None:
        """Remove a change that did not happen."""
        with self._engine.begin() as connection:
            connection.execute(delete(audit).where(audit.c.number == number))

    def unsent(self, before: int) -> list[tuple[int, str]]:
        """Numbers and messages of the changes from before a time that Kafka may not have, in order; `before` is in milliseconds."""
        query = select(audit.c.number, audit.c.unsent).where(audit.c.unsent.is_not(None) & (audit.c.time < before))
        with self._engine.connect() as connection:
            return [(number, text) for number, text in connection.execute(query.order_by(audit.c.number))]
