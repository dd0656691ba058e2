"""YAML is read by the core schema of YAML 1.2, and what is ambiguous or not valid is refused with its place, and without its text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from streamgauge.jobs.settings.strict_yaml import MOST_VALUES, read, write
from streamgauge.models.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("08", 8),
        ("0o10", 8),
        ("0x1F", 31),
        ("-5", -5),
        ("+3", 3),
        ("1.5e-4", 1.5e-4),
        (".5", 0.5),
        ("5.", 5.0),
        ("2e+06", 2_000_000),
        ("1e20", 1e20),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        *(
            (text, text)
            for text in ("1:30", "1_000", "0b1", "yes", "no", "on", "off", "y", "2026-12-25", "1e", ".", "-x")
        ),
        ("'010'", "010"),
        ('"a\\nb"', "a\nb"),
        ("'true'", "true"),
    ],
)
def test_a_plain_value_is_what_the_core_schema_says(text, value):
    found = read(f"key: {text}", "here")["key"]
    assert (found, type(found)) == (value, type(value))


def test_keys_are_names():
    assert read("{404: a, yes: b, 010: c, null: d}", "here") == {"404": "a", "yes": "b", "010": "c", "null": "d"}


def test_a_text_without_a_document_is_nothing():
    assert read("", "here") is None
    assert read("# only a comment\n", "here") is None
    assert read(b"\xef\xbb\xbfa: 1", "here") == {"a": 1}


def test_an_alias_stands_for_a_value_of_its_own():
    found = read("a: &one {x: [1]}\nb: *one\nc: {<<: *one, y: 2}\nd: {<<: [{x: 1}, {x: 2, z: 3}], z: 4}", "here")
    assert found == {"a": {"x": [1]}, "b": {"x": [1]}, "c": {"x": [1], "y": 2}, "d": {"x": 1, "z": 4}}
    found["b"]["x"].append(2)
    assert found["a"] == {"x": [1]}


WORD = "hunter2"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"a: 1\nb: {WORD}\na: 2", "line 3, column 1: the key a is there twice, first in line 1"),
        (f"a: {{x: {WORD}, x: {WORD}}}", "line 1, column 17: the key x is there twice"),
        (f"a:\n\tb: {WORD}", "line 2, column 1: a tab; indent with spaces"),
        (f"x: 1\na: '{WORD}\nb: 1", "line 2, column 4: a quote that is opened here is not closed"),
        (f'a: "{WORD}\nb: "x"', "line 2, column 5: the line does not continue .* quotes are closed"),
        (f"a: {WORD}: x", "line 1, column 11: a colon where no key may be"),
        (f"a: %{WORD}", "line 1, column 4: a special character; .* single quotes"),
        (f"a: @{WORD}", "line 1, column 4: a special character"),
        (f"a: |{WORD}", "line 1, column 5: a special character"),
        (f"a: *{WORD}", "line 1, column 4: an alias .* of nothing"),
        (f"a: &{WORD}", "line 1, column 4: an anchor .* of nothing"),
        (f"a: &{WORD} [*{WORD}]", "line 1, column 14: an alias .* of nothing that is complete"),
        (f"a: !{WORD} x", "line 1, column 4: a tag"),
        (f"a: !{WORD}!x y", "line 1, column 4: a tag"),
        (f"a: !!binary {WORD}", "line 1, column 4: a tag"),
        (f'a: "\\{WORD}\\q"', "a backslash that means nothing"),
        (f"a: [{WORD}\nb: 1", "line 2, column 2: a comma or a closing bracket is missing"),
        (f"a: }}{WORD}", "line 1, column 4: something that is not expected"),
        (f"a:\n   b: 1\n  c: {WORD}", "line 3, column 3: the line does not continue"),
        (f"a: 1\n{WORD}\n", "line 2, column 1: a key needs a colon"),
        (f"a: - {WORD}", "line 1, column 4: a list cannot begin here"),
        (f"? [{WORD}]\n: 1", "line 1, column 3: a key must be plain text"),
        (f"a: {{<<: {WORD}}}", "<< needs a section"),
        (f"a: 1\n---\nb: {WORD}", "line 2, column 1: a second document"),
        ("%YAML 1.1\n---\na: yes", "another version of YAML"),
        (f"a: \x07{WORD}", "line 1, column 4: the character U.0007 is not allowed"),
        (b"a: 1\nb: \xe4" + WORD.encode(), "line 2, column 4: the byte 0xe4 is not UTF-8"),
        ("a: 1".encode("utf-16"), "line 1, column 1: the byte 0xff is not UTF-8"),
        ("a: .inf", "line 1, column 4: a number that is infinite"),
        ("a: .nan", "a number that is infinite, or no number"),
        ("a: 1e999", "a number that is infinite"),
        ("a: 9223372036854775808", "more than 64 bits"),
        ("a: " + "9" * 10_000, "a number that is infinite"),
        ("[" * 10_000, "more than 50 sections or lists in one another"),
    ],
)
def test_what_is_not_valid_is_named_by_its_place_and_not_shown(text, words):
    with pytest.raises(SettingsError, match=f"^here is no valid YAML: .*{words}") as refused:
        read(text, "here")
    assert WORD not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_a_few_lines_that_stand_for_billions_of_values_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(SettingsError, match=f"more than {MOST_VALUES} values, those of aliases included"):
        read("\n".join(lines), "here")


PLAIN = (
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
TEXT = st.text(st.characters(exclude_categories=("Cs",))) | st.sampled_from(
    ["yes", "010", "1:30", "1e3", "0o7", "~", "#a", "a: b", "\x85", "ä\u2028b", "\ufeff"]
)
NAMES = TEXT.filter(lambda name: name != "<<")
VALUES = st.recursive(
    PLAIN | TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)


@given(VALUES)
def test_what_is_written_is_read_back_as_it_was(value):
    for on_one_line in (False, True):
        text = write({"key": value}, on_one_line)
        assert json.dumps(read(text, "here")["key"]) == json.dumps(whole(value))
        assert YAML(typ="safe", pure=True).load(text)["key"] == value


def whole(value):
    """The value with whole numbers as such: the reader takes 1e20 as a float, and 1e+16 as a whole number, if it is small enough."""
    match value:
        case float() if value.is_integer() and "e" in repr(value) and abs(value) < 2**53:
            return int(value)
        case list():
            return [whole(one) for one in value]
        case dict():
            return {key: whole(one) for key, one in value.items()}
    return value
