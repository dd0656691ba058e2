"""The entity of an event: a field, several fields, a text with fields, or the record's key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from streamgauge.udfs.events.entity import MAX_ENTITY, EntityReader
from streamgauge.udfs.settings.event import EventSettings


def entity_of(value, entity="entity", key=None):
    """The entity of one event; the message if it has none."""
    entities, bad = EntityReader(EventSettings(entity=entity)).read([value], [key])
    return bad[0][1] if bad else entities[0]


@pytest.mark.parametrize(
    ("item", "entity"),
    [("a", "a"), ("web 1", "web 1"), (42, "42"), (42.0, "42"), (-3, "-3"), ("007", "007"), ("x" * 300, "x" * 300)],
)
def test_a_text_or_a_whole_number_names_the_entity(item, entity):
    assert entity_of({"entity": item}) == entity


@pytest.mark.parametrize("item", [1.5, True, [1], "", float("inf"), "x" * (MAX_ENTITY + 1)])
def test_other_values_name_no_entity(item):
    assert "entity" in entity_of({"entity": item})


def test_a_missing_field_is_told_with_the_fields_that_there_are():
    assert entity_of({"host": "a", "x": 1}) == (
        "the field 'entity' is missing: event.entity must name one of host, x, or $key"
    )


def test_several_fields_are_joined():
    assert entity_of({"host": "web1", "n": 7}, ("host", "n")) == "web1/7"
    assert entity_of({"host": "web1", "n": 7}, "${host}-${n}!") == "web1-7!"
    assert "'n' is missing" in entity_of({"host": "web1"}, ("host", "n"))


@given(st.lists(st.lists(st.text("/%a2F", min_size=1, max_size=4), min_size=2, max_size=2), min_size=2, max_size=2))
def test_other_parts_give_another_entity(parts):
    first, second = (entity_of({"a": a, "b": b}, ("a", "b")) for a, b in parts)
    assert (first == second) == (parts[0] == parts[1])


def test_the_key_names_the_entity():
    assert entity_of({}, "$key", b"web1") == "web1"
    assert entity_of({}, "$key", b'"web1"') == "web1"
    assert entity_of({"n": 1}, ("$key", "n"), b"web1") == "web1/1"
    assert "no key" in entity_of({}, "$key")
    assert "UTF-8" in entity_of({}, "$key", b"\xff")


@pytest.mark.parametrize("entity", ["", "$keys", "${a", "${a}/${", (), ("a", "")])
def test_what_can_never_fit_is_refused_when_it_is_set(entity):
    with pytest.raises(ValidationError):
        EventSettings(entity=entity)
