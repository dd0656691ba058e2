"""YAML 1.2 for settings: read so that nothing is guessed, and written so that it is read back as it was.

The rules are those of the core schema of YAML 1.2: ``010`` is ten, ``yes`` and ``1:30`` are text. A key that is there twice, a tag, and a
number that is infinite or needs more than 64 bits are refused. Keys are names, so they are always text.

An error names the line and the column, and never shows the text there, because it may be a password. The parser's own words are not
shown for the same reason.
"""

from __future__ import annotations

import copy
import io
import math
import re
import sys
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
)
from ruamel.yaml.reader import ReaderError
from streamgauge.models.errors import SettingsError

MOST_VALUES = (
    100_000  # of a file, those that stand for an alias included: a few lines of aliases can stand for billions
)
DEEPEST = 50  # sections in one another
_WORDS = {
    word: value
    for value, words in (
        (None, ["", "~", "null", "Null", "NULL"]),
        (True, ["true", "True", "TRUE"]),
        (False, ["false", "False", "FALSE"]),
    )
    for word in words
}
_WHOLE = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_IN_QUOTES = "put text that begins or goes on like this in single quotes"
# By a part of the parser's own words. The first that fits counts.
_HINTS = {
    r"'\t'": "a tab; indent with spaces",
    "end of stream": "a quote that is opened here is not closed",
    "document separator": "a quote is not closed before the line ---",
    "mapping values are not allowed": "a colon where no key may be; check the indentation, and put text with a colon in single quotes",
    "sequence entries are not allowed": f"a list cannot begin here; begin it on a line of its own, or {_IN_QUOTES}",
    "directive": f"a special character; {_IN_QUOTES}",
    "document start": f"something before it is not expected, such as a special character; {_IN_QUOTES}",
    "cannot start any token": f"a special character; {_IN_QUOTES}",
    "chomping or indentation": f"a special character; {_IN_QUOTES}",
    "tag": f"a tag (!), which is not allowed; {_IN_QUOTES}",
    "expected ',' or": "a comma or a closing bracket is missing",
    "expected <block end>": "the line does not continue what is before it; check the indentation, and whether all quotes are closed",
    "expected ':'": "a key needs a colon and a space after it",
    "escape": "a backslash that means nothing in double quotes; write it twice, or use single quotes",
}
_FROM_ITS_BEGIN = ("end of stream", "expected ':'", "directive")  # mistakes whose place is where the text begins
_BREAKS = {"\x85", "\u2028", "\u2029", "\ufeff"}


def read(content: str | bytes, where: str) -> Any:
    """The one document in a text; None if there is none.

    Parameters
    ----------
    content : str or bytes
        Bytes are UTF-8.
    where : str
        Names the text in errors, such as the path of the file.

    Raises
    ------
    SettingsError
        The text is not valid. The message names line and column, and does not show the text.
    """
    text = _decoded(content, where) if isinstance(content, bytes) else content
    try:
        return _Document(YAML(typ="safe", pure=True).parse(text), where).value()
    except MarkedYAMLError as error:
        words = f"{error.context} {error.problem}"
        opened = any(part in words for part in _FROM_ITS_BEGIN)
        mark = error.context_mark if opened else error.problem_mark
        hint = next((hint for part, hint in _HINTS.items() if part in words), "something that is not expected here")
        raise SettingsError(f"{where} is no valid YAML: {_place(mark)}: {hint}") from None
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        raise SettingsError(
            f"{where} is no valid YAML: line {line}, column {column}: the character U+{error.character:04X} is not allowed"
        ) from None


def write(values: Any, on_one_line: bool = False) -> str:
    """Values as YAML, which `read` and other readers of YAML 1.2 read back as they were."""
    text = _dumped(values, on_one_line, escaped=False)
    if not _BREAKS.isdisjoint(text):  # the library would write these unescaped, and read them as ends of lines
        text = _dumped(values, on_one_line, escaped=True)
    return text.removesuffix("...\n")


def _dumped(values: Any, on_one_line: bool, escaped: bool) -> str:
    yaml: Any = YAML(typ="safe", pure=True)
    text = io.StringIO()
    yaml.default_flow_style, yaml.width, yaml.allow_unicode = on_one_line, sys.maxsize, not escaped
    yaml.sort_base_mapping_type_on_output = False
    yaml.dump(values, text)
    return text.getvalue()


class _Document:
    """The values of the events of a parser."""

    def __init__(self, events: Iterator[Event], where: str) -> None:
        self._events, self._where = events, where
        self._anchors: dict[str, tuple[Any, int]] = {}  # each value, and the number of values in it
        self._made = 0

    def value(self) -> Any:
        """The value of the document. There may be one document at most."""
        found: Any = None
        documents = 0
        for event in self._events:
            if not isinstance(event, DocumentStartEvent):
                continue
            documents += 1
            if documents > 1:
                raise self._refusal(event, "a second document begins; write one")
            if event.version not in (None, (1, 2)):
                raise self._refusal(event, "another version of YAML; leave the line %YAML out, it is 1.2")
            found = self._value(next(self._events), 0)
        return found

    def _value(self, event: Event, depth: int) -> Any:
        if isinstance(event, AliasEvent):
            return self._copy(event)
        assert isinstance(event, ScalarEvent | CollectionStartEvent)
        before = self._made
        self._count(1, event)
        if event.tag is not None:
            raise self._refusal(event, _HINTS["tag"])
        if depth > DEEPEST:
            raise self._refusal(event, f"more than {DEEPEST} sections or lists in one another")
        value: Any
        if isinstance(event, ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, MappingStartEvent):
            value = self._mapping(depth + 1)
        else:
            value = [self._value(item, depth + 1) for item in self._until(SequenceEndEvent)]
        if event.anchor is not None:
            self._anchors[event.anchor] = value, self._made - before
        return value

    def _mapping(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        merged: dict[str, Any] = {}
        for event in self._until(MappingEndEvent):
            if not isinstance(event, ScalarEvent):
                raise self._refusal(event, "a key must be plain text; put text with brackets, & or * in single quotes")
            key, line = event.value, event.start_mark.line + 1
            if key in lines:
                raise self._refusal(event, f"the key {named(key)} is there twice, first in line {lines[key]}")
            lines[key] = line
            value = self._value(next(self._events), depth)
            if key != "<<":
                values[key] = value
                continue
            for part in reversed(value if isinstance(value, list) else [value]):
                if not isinstance(part, dict):
                    raise self._refusal(event, "<< needs a section, or a list of sections")
                merged |= part
        return merged | values

    def _scalar(self, event: ScalarEvent) -> Any:
        text = event.value
        if not event.implicit[0]:  # in quotes, or over several lines
            return text
        if event.anchor is not None and not text:
            raise self._refusal(event, f"an anchor (&) of nothing; {_IN_QUOTES}")
        if text in _WORDS:
            return _WORDS[text]
        if len(text) < 400 and _WHOLE.fullmatch(text):
            number = int(text, 0 if text[:2] in ("0o", "0x") else 10)
            if abs(number) >= 1 << 63:
                raise self._refusal(event, "a whole number of more than 64 bits")
            return number
        if _NUMBER.fullmatch(text):
            if not math.isfinite(value := float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))):
                raise self._refusal(event, "a number that is infinite, or no number")
            # Helm writes 2000000 as 2e+06.
            return int(value) if "e" in text.lower() and value.is_integer() and abs(value) < 1 << 53 else value
        return text

    def _copy(self, event: AliasEvent) -> Any:
        if event.anchor not in self._anchors:
            raise self._refusal(event, f"an alias (*) of nothing that is complete before it; {_IN_QUOTES}")
        value, size = self._anchors[event.anchor]
        self._count(size, event)
        return copy.deepcopy(value)

    def _until(self, end: type[Event]) -> Iterator[Event]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield event

    def _count(self, more: int, event: Event) -> None:
        self._made += more
        if self._made > MOST_VALUES:
            raise self._refusal(event, f"more than {MOST_VALUES} values, those of aliases included")

    def _refusal(self, event: Event, why: str) -> SettingsError:
        return SettingsError(f"{self._where} is no valid YAML: {_place(event.start_mark)}: {why}")


def named(key: str) -> str:
    """A key for a message. If the space after a colon is missing, a key and its value are read as a key, so such a key is hidden."""
    return "(hidden)" if len(key) > 100 or re.search("[:=/]", key) else key


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8-sig")) + 1
        byte = f"the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise SettingsError(f"{where} is no valid YAML: line {line}, column {column}: {byte}") from None


def _place(mark: Any) -> str:
    return "end of the text" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"
