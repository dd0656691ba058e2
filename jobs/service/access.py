"""Who may use the service: tokens with scopes, and sessions of the page. The database holds hashes only.

Callers with an account at a provider of OpenID Connect are in `oidc`; their sessions are here.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Table, delete, func, select
from streamgauge.jobs.service.audit import Audit
from streamgauge.jobs.service.database import insert_into, or_update
from streamgauge.jobs.service.tables import person_sessions, sessions, tokens
from streamgauge.models.errors import InputError

SCOPES = ("read", "feedback", "control")
PREFIX = "sg_"
FIRST = "first"  # name of the token of the settings
SESSION = 12 * 3_600_000  # milliseconds for which a person stays signed in
DAY = 86_400_000


class RefusedError(Exception):
    """Somebody showed something that does not let them in; the message says why, and holds no secret."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request.

    Attributes
    ----------
    name : str
        Name of the token or of the person, or ``local`` where no token is needed.
    scopes : frozenset of str
    session : str or None
        Id of the page's session; None for a token in the request itself.
    subject : str or None
        Id of the person or program at its provider; None for a token of ours.
    """

    name: str
    scopes: frozenset[str]
    session: str | None = None
    subject: str | None = None

    @property
    def csrf(self) -> str:
        """What a form of the page must send, so that other sites cannot send it in this person's name."""
        return self._word(b"form")

    @property
    def counted(self) -> str:
        """By what requests are counted: each session of the page by itself, because many people may share a token."""
        return f"session {self._word(b'count')}" if self.session else f"name {self.name}"

    def _word(self, purpose: bytes) -> str:
        return hmac.new((self.session or "").encode(), purpose, hashlib.sha256).hexdigest()


class Access:
    """Tokens, sessions, and the list of what was changed by whom.

    Parameters
    ----------
    engine : Engine
    issuer : str, optional
        The provider of OpenID Connect. Sessions of people of another one do not count.

    Attributes
    ----------
    audit : Audit
        The list.
    """

    def __init__(self, engine: Engine, issuer: str | None = None) -> None:
        self._engine, self._issuer, self.audit = engine, issuer, Audit(engine)

    def any_token(self) -> bool:
        """Whether there is a token, so that nobody gets in without one."""
        with self._engine.connect() as connection:
            return bool(connection.scalar(select(func.count()).select_from(tokens)))

    def make(self, name: str, scopes: list[str] | None, days: int | None) -> str:
        """Make a token. Only its hash is kept, so it can be shown only now.

        Parameters
        ----------
        name : str
        scopes : list of str, optional
            Of `SCOPES`; all by default.
        days : int, optional
            After which it does not work any more.

        Raises
        ------
        InputError
            A token has this name already, or a scope is unknown.
        """
        scopes = list(SCOPES) if scopes is None else scopes
        if not name or not set(scopes) <= set(SCOPES) or not scopes:
            raise InputError(
                f"a token needs a name, and scopes of {', '.join(SCOPES)} (is {', '.join(scopes) or 'none'})"
            )
        token, now = PREFIX + secrets.token_urlsafe(32), _now()
        row = {"name": name, "hash": _hash(token), "scopes": " ".join(sorted(set(scopes))), "made": now}
        row |= {"expires": None if days is None else now + days * DAY}
        with self._engine.begin() as connection:
            add = insert_into(self._engine, tokens).values(row).on_conflict_do_nothing()
            if connection.scalar(add.returning(tokens.c.name)) is None:
                raise InputError(f"there is a token {name!r} already (`streamgauge token revoke {name}` ends it)")
        return token

    def make_first(self, token: str) -> None:
        """Make the token of the settings, with all scopes. It replaces the one that was made so before."""
        row = {"name": FIRST, "hash": _hash(token), "scopes": " ".join(SCOPES), "made": _now(), "expires": None}
        with self._engine.begin() as connection:
            if connection.scalar(select(tokens.c.hash).where(tokens.c.name == FIRST)) != row["hash"]:
                connection.execute(delete(sessions).where(sessions.c.token == FIRST))
                statement = insert_into(self._engine, tokens)
                connection.execute(or_update(statement, ("name",), ("hash", "scopes", "made", "expires")), [row])

    def revoke(self, name: str) -> None:
        """End a token and its sessions.

        Raises
        ------
        InputError
            There is no such token.
        """
        with self._engine.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.token == name))
            if connection.execute(delete(tokens).where(tokens.c.name == name)).rowcount == 0:
                raise InputError(f"there is no token {name!r} (`streamgauge token list` shows all)")

    def all_tokens(self) -> list[dict[str, Any]]:
        """Names, scopes and times of all tokens."""
        query = select(tokens.c.name, tokens.c.scopes, tokens.c.made, tokens.c.expires).order_by(tokens.c.name)
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def of_token(self, token: str) -> Caller | None:
        """The caller with a token; None if it is unknown or expired."""
        with self._engine.connect() as connection:
            row = connection.execute(select(tokens).where(tokens.c.hash == _hash(token))).first()
        if row is None or (row.expires is not None and row.expires <= _now()):
            return None
        return Caller(row.name, frozenset(row.scopes.split()))

    def sign_in(self, token: str) -> str | None:
        """Begin a session of the page; returns its id, or None if the token is unknown or expired."""
        caller = self.of_token(token)
        if caller is None:
            return None
        return self._begin(sessions, {"token": caller.name})

    def sign_in_person(self, person: Caller) -> str:
        """Begin a session of the page for a person with an account at the provider; returns its id."""
        row = {"name": person.name, "scopes": " ".join(sorted(person.scopes))}
        session = self._begin(person_sessions, row | {"subject": person.subject, "issuer": self._issuer})
        self.audit.note(person.name, "sign in", {"subject": person.subject, "issuer": self._issuer})
        return session

    def _begin(self, table: Table, row: dict[str, Any]) -> str:
        session, now = secrets.token_urlsafe(32), _now()
        with self._engine.begin() as connection:
            connection.execute(delete(table).where(table.c.expires <= now))
            connection.execute(
                insert_into(self._engine, table), [row | {"hash": _hash(session), "expires": now + SESSION}]
            )
        return session

    def of_session(self, session: str) -> Caller | None:
        """The caller with a session; None if the session or its token is unknown or expired."""
        same = (sessions.c.hash == _hash(session)) & (sessions.c.expires > _now())
        query = select(tokens).join(sessions, sessions.c.token == tokens.c.name).where(same)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
            if row is None:
                return None if self._issuer is None else self._person(connection, session)
        if row.expires is not None and row.expires <= _now():
            return None
        return Caller(row.name, frozenset(row.scopes.split()), session)

    def _person(self, connection: Connection, session: str) -> Caller | None:
        people = person_sessions.c
        known = (people.hash == _hash(session)) & (people.expires > _now()) & (people.issuer == self._issuer)
        row = connection.execute(select(person_sessions).where(known)).first()
        return None if row is None else Caller(row.name, frozenset(row.scopes.split()), session, row.subject)

    def sign_out(self, session: str) -> None:
        """End a session."""
        with self._engine.begin() as connection:
            for table in (sessions, person_sessions):
                connection.execute(delete(table).where(table.c.hash == _hash(session)))


def _now() -> int:
    return int(time.time() * 1000)


def _hash(secret: str) -> str:
    """Hash of a token or session. These are long and random, so a slow hash would add nothing."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
