"""The page of settings in docs/ agrees with the models."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.settings.reference import keys, reference

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"
KEYS = {key.name: key for _, _, found in keys() for key in found}


def leaves(section: BaseModel, above: str = "") -> list[str]:
    """Names of all keys of a section that hold no section."""
    names = []
    for name in type(section).model_fields:
        value = getattr(section, name)
        names += leaves(value, f"{above}{name}.") if isinstance(value, BaseModel) else [f"{above}{name}"]
    return names


def test_the_page_in_the_repository_is_current():
    """If not: make schema."""
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_every_key_is_on_the_page():
    off = {
        "silence",
        "service.oidc",
        "event.registry",
        *(f"detectors.{name}" for name, section in Settings().detectors if section is None),
    }
    assert set(leaves(Settings())) - off <= set(KEYS)
    assert {f"{name}.weight" for name in off if name.startswith("detectors.")} <= set(KEYS)
    assert {"silence.after", "windows.NAME.size", "decide.rules[].when", "models.use.NAME.alias"} <= set(KEYS)


def test_every_key_has_a_meaning_and_a_default():
    assert [key.name for key in KEYS.values() if not (key.meaning and key.default)] == []


@pytest.mark.parametrize(
    ("name", "default", "unit", "allowed"),
    [
        ("decide.promise", "`1 per day`", "false incidents", ""),
        ("decide.threshold", "`null`", "probability", "above 0, below 1, or `null`"),
        ("batch.window", "`8 ms`", "duration", "at least 1 ms, at most 1 m"),
        ("job.checkpoint_interval", "`null`", "duration", "at least 100 ms, or `null`"),
        ("track", "`20000`", "events", "at least 200, a multiple of 200, or `null`"),
        ("decide.importance", "`{}`", "steps", "at least -3, at most 3"),
        ("windows.NAME.every", "as `size`", "duration", "at least 1 s"),
        ("detectors.histogram_density.weight", "`2`", "", "above 0"),
    ],
)
def test_defaults_units_and_ranges_are_those_of_the_models(name, default, unit, allowed):
    key = KEYS[name]
    assert (key.default, key.unit, key.range) == (default, unit, allowed)
