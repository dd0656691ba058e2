"""Tokens and sessions."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update
from streamgauge.jobs.service.access import SCOPES, Access
from streamgauge.jobs.service.tables import sessions, tokens
from streamgauge.models.errors import InputError


def end_token(access, database, end):
    """Revoke the token of `reader`, or let it expire."""
    if end == "revoked":
        access.revoke("reader")
    else:
        with database.begin() as connection:
            connection.execute(update(tokens).values(expires=1))


def test_a_token_names_its_caller_and_only_its_hash_is_kept(database):
    access = Access(database)
    assert not access.any_token()
    token = access.make("ann", ["feedback", "read"], None)
    caller = access.of_token(token)
    assert (caller.name, caller.scopes) == ("ann", {"read", "feedback"})
    assert access.of_token(token + "x") is None
    with database.connect() as connection:
        assert token not in str(connection.execute(select(tokens)).all())


def test_the_token_of_the_settings_is_made_once_and_replaced_if_it_changes(database):
    access = Access(database)
    for _ in range(2):
        access.make_first("long-enough-to-be-a-token")
    session = access.sign_in("long-enough-to-be-a-token")
    access.make_first("long-enough-to-be-a-token")
    assert access.of_session(session).scopes == set(SCOPES)
    access.make_first("another-one-that-is-long-enough")
    assert access.of_session(session) is None
    assert access.of_token("long-enough-to-be-a-token") is None
    assert access.of_token("another-one-that-is-long-enough").name == "first"
    assert len(access.all_tokens()) == 1


def test_a_name_has_one_token(database):
    access = Access(database)
    access.make("ann", ["read"], None)
    with pytest.raises(InputError, match="there is a token 'ann' already"):
        access.make("ann", ["read"], None)
    with pytest.raises(InputError, match="scopes of read, feedback, control"):
        access.make("bo", ["everything"], None)
    with pytest.raises(InputError, match="no token 'bo'"):
        access.revoke("bo")


def test_an_expired_token_and_its_sessions_do_not_work(database):
    access = Access(database)
    token = access.make("ann", ["read"], 1)
    session = access.sign_in(token)
    assert access.of_session(session).name == "ann"
    with database.begin() as connection:
        connection.execute(update(tokens).values(expires=1))
    assert access.of_token(token) is None
    assert access.of_session(session) is None
    assert access.sign_in(token) is None


def test_a_session_ends_by_time_by_signing_out_and_with_its_token(database):
    access = Access(database)
    token = access.make("ann", ["read"], None)
    first, second, third = (access.sign_in(token) for _ in range(3))
    assert access.of_session(first).csrf != access.of_session(second).csrf
    access.sign_out(first)
    assert access.of_session(first) is None
    assert access.of_session(second) is not None
    with database.begin() as connection:
        connection.execute(update(sessions).values(expires=1))
    assert access.of_session(second) is None
    access.revoke("ann")
    assert access.of_session(third) is None
    assert access.all_tokens() == []
