"""No message and no text of the settings shows a value that may be a secret, wherever in the settings it stands."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any, get_origin

import pytest
from streamgauge.jobs.settings.loading import Settings, load, parsed, validated
from streamgauge.jobs.settings.strict_yaml import write
from streamgauge.jobs.settings.walk import Place, holds_many, holds_secrets, section_in
from streamgauge.models.errors import SettingsError

WORD = "hunter2"
URL = f"postgresql://me:{WORD}@host/name"
WRONG_ANYWHERE = ({"password": {"deep": WORD}}, [{"password": WORD}], [[{"password": WORD}]])
ANYWHERE = (*WRONG_ANYWHERE, URL, [URL], f"{URL}.ics")
AT_SECRETS = ({"password": WORD}, WORD, [WORD], f"{WORD} x", f"ftp://{WORD}", f"http://u:{WORD}@h:port")
BROKEN = (
    f"%{WORD}",
    f"@{WORD}",
    f"*{WORD}",
    f"&{WORD}",
    f"!{WORD} x",
    f"!{WORD}!x",
    f"'{WORD}",
    f'"{WORD}',
    f'"{WORD}\\q"',
    f"{WORD}: x",
    f"|{WORD}",
    f"[{WORD}",
    f"{{{WORD}",
    f"}}{WORD}",
    f"- {WORD}",
    f"\t- {WORD}",
    f"x\x07{WORD}",
)


def places(model: Any = Settings, above: Place = (), secret: bool = False) -> Iterator[tuple[Place, bool]]:
    """All keys of the settings, sections included, and whether a bare text there may be a secret."""
    for name, field in model.model_fields.items():
        inner, place = section_in(field.annotation), (*above, name)
        yield place, secret or holds_secrets(field) or inner is not None
        if get_origin(field.annotation) is dict and inner is None and holds_secrets(field):
            yield (*place, "name"), True
        if inner is not None:
            many = get_origin(field.annotation) if holds_many(field.annotation) else None
            yield from places(
                inner, (*place, "name") if many is dict else (*place, 0) if many is tuple else place, secret
            )


PLACES = list(places())
SECRET = [place for place, secret in PLACES if secret]


def at(place: Place, value: Any) -> Any:
    """Settings with a value at a place."""
    for part in reversed(place):
        value = [value] if part == 0 else {part: value}
    return value


def said(values: Any) -> tuple[str, str]:
    """Errors of settings, as a file and from a program, with all causes; and how the settings are shown that are valid."""
    errors, shown = "", ""
    for make in (lambda: parsed(write(values), "file"), lambda: validated(values, "program")):
        try:
            shown += repr(make())
        except SettingsError as error:
            errors += "".join(traceback.format_exception(error))
    return errors, shown


def test_the_walk_finds_the_secrets():
    assert {
        ("kafka", "properties"),
        ("kafka", "properties", "name"),
        ("service", "token"),
        ("service", "database"),
        ("service", "redis"),
        ("service", "oidc", "client_secret"),
        ("service", "webhooks", "name", "url"),
        ("service", "webhooks", "name", "secret"),
        ("service", "alertmanagers", "name", "url"),
        ("service",),
        ("decide", "rules"),
    } <= set(SECRET)
    assert len(PLACES) > 200


@pytest.mark.parametrize("place", [place for place, _ in PLACES], ids=lambda place: ".".join(map(str, place)))
def test_a_value_in_the_wrong_place_is_not_shown(place):
    for value in ANYWHERE:
        errors, _ = said(at(place, value))
        assert WORD not in errors, (place, value)
        assert errors or value not in WRONG_ANYWHERE


def test_a_value_is_not_shown_where_a_secret_may_stand():
    for place in SECRET:
        for value in AT_SECRETS:
            assert WORD not in "".join(said(at(place, value))), (place, value)


def test_a_key_and_its_value_without_a_space_between_them_are_not_shown():
    for place in SECRET:
        errors, _ = said(at(place, {f"token:{WORD}": None, f"token={WORD}": 1}))
        assert errors
        assert WORD not in errors, place


@pytest.mark.parametrize("broken", BROKEN)
def test_text_that_is_no_yaml_is_not_shown(tmp_path, broken):
    file = tmp_path / "detection.yaml"
    for key in ("service:\n  token", "kafka:\n  properties:\n    sasl.password"):
        file.write_text(f"{key}: {broken}\n")
        with pytest.raises(SettingsError, match=r"detection.yaml") as refused:
            load(file, {})
        assert WORD not in "".join(traceback.format_exception(refused.value))
    with pytest.raises(SettingsError, match=r"STREAMGAUGE__SERVICE__TOKEN is no valid YAML|service\.token") as refused:
        load(None, {"STREAMGAUGE__SERVICE__TOKEN": broken})
    assert WORD not in "".join(traceback.format_exception(refused.value))


def test_settings_do_not_show_their_secrets():
    service = {"token": WORD * 4, "database": URL, "redis": f"redis://:{WORD}@h:1/0"}
    settings = parsed(write({"kafka": {"properties": {"client.rack": WORD}}, "service": service}), "file")
    assert settings.kafka.properties == {"client.rack": WORD}
    assert WORD not in f"{settings!r} {settings} {settings.kafka} {settings.service!r}"
