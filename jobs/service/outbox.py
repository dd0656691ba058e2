"""How many changes a target was told; the database has it. One service at a time tells it, and goes on after it has accepted one."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Select, exists, func, select, update
from streamgauge.jobs.service.database import insert_into
from streamgauge.jobs.service.history import OvertakenError
from streamgauge.jobs.service.messages import clean
from streamgauge.jobs.service.tables import changes, deliveries, incidents, refusals
from streamgauge.jobs.service.targets import Change, at_least
from streamgauge.udfs.incidents.kinds import OPEN

LONGEST_REASON = 300  # characters
_BEHIND = select(func.count()).where(changes.c.number > deliveries.c.done).correlate(deliveries).scalar_subquery()


@dataclass(frozen=True)
class Lease:
    """How long a service may go on without a sign of life, in seconds.

    Attributes
    ----------
    renew : float
        After this time a service gives a sign of life before it tells the target anything.
    lost : float
        Without a sign of life for this time, another service takes over. It is longer than `renew` and the longest request together,
        so that a request has ended by then. Clocks of machines are not compared.
    """

    renew: float = 10.0
    lost: float = 30.0


class Outbox:
    """What a target is still to be told.

    Parameters
    ----------
    engine : Engine
    target : str
    lease : Lease
    """

    def __init__(self, engine: Engine, target: str, lease: Lease) -> None:
        self._engine, self.target, self._lease = engine, target, lease
        self._me = secrets.token_hex(8)
        self._mine = deliveries.c.target == target
        self._held: float | None = None  # when this service gave its last sign of life
        self._other: tuple[str | None, int] | None = (
            None  # the last sign of life of another one, and when it was seen first
        )
        self._seen = 0.0

    def begin(self) -> None:
        """Let a target that is not known begin after the newest change."""
        with self._engine.begin() as connection:
            newest = connection.scalar(select(func.max(changes.c.number))) or 0
            row = {"target": self.target, "start": newest, "done": newest, "beat": 0}
            connection.execute(insert_into(self._engine, deliveries).on_conflict_do_nothing(), [row])

    def known(self) -> bool:
        """Whether the target began already."""
        with self._engine.connect() as connection:
            return connection.scalar(select(deliveries.c.beat).where(self._mine)) is not None

    def hold(self) -> bool:
        """Whether this service may tell the target now. It gives a sign of life, or takes over where nobody gives one."""
        now = time.monotonic()
        if self._held is not None and now - self._held < self._lease.renew:
            return True
        holder, beat = self._last_sign()
        if holder not in (None, self._me):
            if self._other != (holder, beat):
                self._other, self._seen = (holder, beat), now
            if now - self._seen < self._lease.lost:
                self._held = None
                return False
        held = self._take(holder, beat)
        self._held = now if held else None
        return held

    def _last_sign(self) -> tuple[str | None, int]:
        """The service that tells the target, and its signs of life."""
        with self._engine.connect() as connection:
            holder, beat = connection.execute(select(deliveries.c.holder, deliveries.c.beat).where(self._mine)).one()
            return holder, beat

    def _take(self, holder: str | None, beat: int) -> bool:
        """Give a sign of life, if the last one is still this one."""
        same = self._mine & deliveries.c.holder.is_not_distinct_from(holder) & (deliveries.c.beat == beat)
        take = update(deliveries).where(same).values(holder=self._me, beat=beat + 1).returning(deliveries.c.beat)
        with self._engine.begin() as connection:
            return connection.scalar(take) is not None

    def release(self) -> None:
        """Let another service take over at once."""
        self._held = None
        with self._engine.begin() as connection:
            mine = self._mine & (deliveries.c.holder == self._me)
            connection.execute(update(deliveries).where(mine).values(holder=None, beat=deliveries.c.beat + 1))

    def pending(self, severity: str, limit: int) -> list[Change]:
        """The next changes, in order; `severity` is that from which on the target is told of incidents."""
        done, start = (
            select(column).where(self._mine).scalar_subquery() for column in (deliveries.c.done, deliveries.c.start)
        )
        earlier = changes.alias()
        same = (earlier.c.alert_id == changes.c.alert_id) & (earlier.c.number < changes.c.number)
        before = select(earlier.c.data).where(same).order_by(earlier.c.number.desc()).limit(1).scalar_subquery()
        severe = earlier.c.data["severity"].as_string().in_(at_least(severity))
        heard = exists().where(same & severe & (earlier.c.number > start))
        told = (before.label("before"), heard.label("heard"))
        query = select(changes, incidents.c.opened, incidents.c.field, incidents.c.first, *told)
        query = query.join(incidents, incidents.c.alert_id == changes.c.alert_id)
        return self._changes(query.where(changes.c.number > done).order_by(changes.c.number).limit(limit))

    def open_incidents(self, severity: str, after: str, limit: int) -> list[Change]:
        """Open incidents that the target was told of and did not refuse, by their last change; with larger ids than `after`."""
        told = changes.alias()
        known = (told.c.number > deliveries.c.start) & (told.c.number <= deliveries.c.done) & self._mine
        of_incident = (told.c.alert_id == incidents.c.alert_id) & known
        number = select(func.max(told.c.number)).where(of_incident).scalar_subquery().correlate(incidents)
        severe = told.c.data["severity"].as_string().in_(at_least(severity))
        heard = exists().where(of_incident & severe).correlate(incidents)
        query = select(changes, incidents.c.opened, incidents.c.field, incidents.c.first)
        query = query.join(incidents, incidents.c.alert_id == changes.c.alert_id).where(changes.c.number == number)
        query = query.where(incidents.c.state.in_(OPEN) & heard)
        refused = select(refusals.c.number).where(refusals.c.target == self.target)
        query = query.where(changes.c.number.not_in(refused))
        return self._changes(query.where(incidents.c.alert_id > after).order_by(incidents.c.alert_id).limit(limit))

    def _changes(self, query: Select[Any]) -> list[Change]:
        with self._engine.connect() as connection:
            return [Change(**row) for row in connection.execute(query).mappings()]

    def behind(self) -> int:
        """Number of changes that are still to be told."""
        with self._engine.connect() as connection:
            return int(connection.scalar(select(_BEHIND).select_from(deliveries).where(self._mine)) or 0)

    def done(self, number: int, told: bool) -> None:
        """Note that the changes up to a number were told, or are not to be told.

        Raises
        ------
        OvertakenError
            Another service tells the target.
        """
        values: dict[str, Any] = {"done": number, "problem": None, "since": None}
        self._move(number, values | ({"told": _now()} if told else {}))

    def refused(self, change: Change, reason: str) -> None:
        """Note that the target refuses a change for its contents, and pass over it; see `done`."""
        row = {"target": self.target, "number": change.number, "event_id": change.event_id, "time": _now()}
        row["reason"] = clean(reason)[:LONGEST_REASON]
        self._move(change.number, {"done": change.number, "problem": None, "since": None}, row)

    def _move(self, number: int, values: dict[str, Any], refusal: dict[str, Any] | None = None) -> None:
        mine = self._mine & (deliveries.c.holder == self._me) & (deliveries.c.done < number)
        with self._engine.begin() as connection:
            moved = connection.scalar(update(deliveries).where(mine).values(values).returning(deliveries.c.done))
            if moved is None:
                self._held = None
                raise OvertakenError
            if refusal is not None:
                connection.execute(insert_into(self._engine, refusals), [refusal])

    def failed(self, problem: str) -> None:
        """Note why the target cannot be told now."""
        self._note({"problem": clean(problem)[:LONGEST_REASON], "since": func.coalesce(deliveries.c.since, _now())})

    def answers(self) -> None:
        """Note that the target answers again."""
        self._note({"problem": None, "since": None})

    def _note(self, values: dict[str, Any]) -> None:
        with self._engine.begin() as connection:
            mine = self._mine & (deliveries.c.holder == self._me)
            connection.execute(update(deliveries).where(mine).values(values))


def states(engine: Engine, targets: list[str]) -> list[dict[str, Any]]:
    """How far targets were told, at one moment; those that have not begun have no `done`."""
    refused = select(func.count()).where(refusals.c.target == deliveries.c.target).scalar_subquery()
    query = select(deliveries, _BEHIND.label("behind"), refused.label("refused"))
    with engine.connect() as connection:
        found = connection.execute(query.where(deliveries.c.target.in_(targets))).mappings()
        rows = {row["target"]: dict(row) for row in found}
    return [rows.get(name, {"target": name, "done": None}) for name in targets]


def _now() -> int:
    return int(time.time() * 1000)
