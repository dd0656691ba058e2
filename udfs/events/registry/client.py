"""Fetches schemas from a schema registry, and keeps them: a schema never changes under its id."""

from __future__ import annotations

import base64
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import msgspec
import urllib3
from streamgauge.models.errors import RegistryError
from streamgauge.udfs.events.records import UnreadableError
from streamgauge.udfs.settings.registry import RegistrySettings

UNKNOWN_FOR = 60.0  # seconds for which an id that the registry does not know is not asked for again
MOST_UNKNOWN = 10_000  # ids that are remembered as unknown
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 15.0  # seconds between two tries
LARGEST_ID = 2**31 - 1  # a registry answers larger ones with errors that do not say that it has none such
LARGEST = 16 << 20  # bytes of an answer
MOST_REFERENCES = 200  # schemas that one schema may need
NOT_FOUND = (40401, 40402, 40403)  # the registry's codes for: no such subject, version, schema
log = logging.getLogger(__name__)
T = TypeVar("T")


class _NotFoundError(Exception):
    """The registry answers, and does not have what was asked for."""


class _Reference(msgspec.Struct):
    name: str
    subject: str
    version: int


class _Answer(msgspec.Struct):
    schema: str
    schemaType: str = "AVRO"  # noqa: N815 (the registry's name; it is absent for Avro)
    references: list[_Reference] | None = None


class _Problem(msgspec.Struct):
    error_code: int = 0


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema of the registry.

    Attributes
    ----------
    id : int
    kind : {"AVRO", "PROTOBUF", "JSON"}
    text : str
    references : dict
        Text of each schema that it needs, by the name under which it is needed; one that others need is before them.
    """

    id: int
    kind: str
    text: str
    references: dict[str, str]


class Registry:
    """A schema registry. It is first asked when a schema is needed. One thread may use it.

    Parameters
    ----------
    settings : RegistrySettings
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._known: dict[int, Schema] = {}
        self._unknown: dict[int, float] = {}  # when to ask again, by id

    def schema(self, schema_id: int) -> Schema:
        """The schema with an id.

        Raises
        ------
        UnreadableError
            The registry does not know it (unknown_schema). It is asked again after `UNKNOWN_FOR` seconds.
        RegistryError
            The registry is away, or refuses us, for longer than `retry_for`; or our settings cannot be used.
        """
        known = self._known.get(schema_id)
        if known is not None:
            return known
        if schema_id <= LARGEST_ID and time.monotonic() >= self._unknown.get(schema_id, 0.0):
            try:
                known = self._known[schema_id] = self._fetched(schema_id)
                return known
            except _NotFoundError:
                if len(self._unknown) >= MOST_UNKNOWN:
                    self._unknown.clear()
                self._unknown[schema_id] = time.monotonic() + UNKNOWN_FOR
        raise UnreadableError(
            "unknown_schema",
            f"the schema registry {self._settings.url} has no schema {schema_id}, or not all that it refers to: was the record "
            "written with another registry?",
        )

    def _fetched(self, schema_id: int) -> Schema:
        answer = self._asked(f"/schemas/ids/{schema_id}")
        references: dict[str, str] = {}
        # Depth first: a schema is added after all that it refers to. A name is looked up once, so a circle ends.
        seen = set()
        stack: list[tuple[str, str, Iterator[_Reference]]] = [("", answer.schema, iter(answer.references or ()))]
        while stack:
            name, text, rest = stack[-1]
            reference = next(rest, None)
            if reference is None:
                stack.pop()
                if stack:
                    references[name] = text
            elif reference.name not in seen:
                seen.add(reference.name)
                if len(seen) > MOST_REFERENCES:
                    raise RegistryError(f"schema {schema_id} refers to more than {MOST_REFERENCES} others")
                inner = self._asked(f"/subjects/{quote(reference.subject, safe='')}/versions/{reference.version}")
                stack.append((reference.name, inner.schema, iter(inner.references or ())))
        return Schema(schema_id, answer.schemaType, answer.schema, references)

    def _asked(self, path: str) -> _Answer:
        """Ask until there is an answer, with growing pauses."""
        settings = self._settings
        end, pause = time.monotonic() + settings.retry_for / 1000, FIRST_PAUSE
        while True:
            problem = self._tried(path)
            if isinstance(problem, _Answer):
                return problem
            if time.monotonic() + pause > end:
                raise RegistryError(
                    f"the schema registry {settings.url} {problem}; it was asked for {settings.retry_for / 1000:g} s "
                    "(registry.retry_for)"
                )
            log.warning("the schema registry %s %s: asked again in %g s", settings.url, problem, pause)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _tried(self, path: str) -> _Answer | str:
        """Ask once: the answer, or why there is none."""
        settings = self._settings
        headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"} | _authorization(settings)
        try:
            with urllib3.PoolManager(ca_certs=settings.ca_file, timeout=settings.timeout / 1000, retries=False) as pool:
                response = pool.request(
                    "GET", settings.url + path, headers=headers, redirect=False, preload_content=False
                )
                body = response.read(LARGEST)
                response.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return f"cannot be reached ({type(error).__name__}: {str(error)[:200]})"
        if response.status == 404 and (problem := _read(body, _Problem)) and problem.error_code in NOT_FOUND:
            raise _NotFoundError
        if response.status in (401, 403):
            return f"refuses the user or the token (status {response.status})"
        if response.status != 200:
            return f"answers with status {response.status}, not as a registry does"
        return _read(body, _Answer) or "answers, but not with a schema: is the url that of a registry?"


def _read(body: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(body, type=kind)
    except ValueError:
        return None


def _authorization(settings: RegistrySettings) -> dict[str, str]:
    """The header that says who we are. No error shows the secret."""
    if settings.user is not None:
        password = _secret("password", settings.password_env, settings.password_file)
        return {"Authorization": "Basic " + base64.b64encode(f"{settings.user}:{password}".encode()).decode()}
    if settings.token_env is not None or settings.token_file is not None:
        token = _secret("token", settings.token_env, settings.token_file)
        # Else the HTTP client would refuse it with a message that shows it.
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise RegistryError("the token for the schema registry holds spaces, or characters that no token may have")
        return {"Authorization": f"Bearer {token}"}
    return {}


def _secret(what: str, variable: str | None, file: str | None) -> str:
    """A secret, from an environment variable or else a file. Line breaks at its end are no part of it."""
    if variable is not None:
        text = os.environ.get(variable, "")
        where = f"the environment variable {variable} (registry.{what}_env)"
    else:
        where = f"the file {file} (registry.{what}_file)"
        try:
            text = Path(str(file)).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RegistryError(
                f"the {what} for the schema registry cannot be read from {where}: {type(error).__name__}"
            ) from None
    text = text.rstrip("\r\n")
    if not text:
        raise RegistryError(f"the {what} for the schema registry is not in {where}: set it wherever events are read")
    return text
