"""The schemas in the repository accept what the code accepts, and refuse what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from streamgauge.jobs.settings.schemas import schemas
from streamgauge.jobs.settings.strict_yaml import read
from streamgauge.models.errors import SettingsError
from streamgauge.udfs.control.feedback import parse_feedback
from streamgauge.udfs.control.messages import parse

CONF = Path(__file__).parents[3] / "flink-conf"
FEEDBACK = {
    "alert_id": "a1",
    "entity": "pump-7",
    "kind": "point",
    "tail_probability": 1e-5,
    "verdict": "false",
    "by": "ann",
}


@pytest.mark.parametrize("name", ["detection.schema.json", "control.schema.json", "feedback.schema.json"])
def test_the_schema_in_the_repository_is_current(name):
    """If not: make schema."""
    assert (CONF / name).read_text() == schemas()[name]
    assert set(schemas()) == {file.name for file in CONF.glob("*.schema.json")}


def test_the_settings_file_in_the_repository_fits_its_schema():
    settings = read((CONF / "detection.yaml").read_bytes(), "detection.yaml")
    jsonschema.validate(settings, json.loads(schemas()["detection.schema.json"]))


@pytest.mark.parametrize(
    ("file", "read", "good", "bad"),
    [
        ("control", parse, {"type": "trial", "a": 1e-4, "b": 1e-5}, {"type": "trial", "a": 2.0, "b": 1e-5}),
        (
            "control",
            parse,
            {"type": "model", "model": "m", "version": 2},
            {"type": "model", "model": "m", "version": "new"},
        ),
        ("feedback", parse_feedback, FEEDBACK, FEEDBACK | {"verdict": "maybe"}),
        ("feedback", parse_feedback, FEEDBACK, {key: FEEDBACK[key] for key in FEEDBACK if key != "by"}),
    ],
)
def test_schema_and_code_accept_and_refuse_the_same(file, read, good, bad):
    schema = json.loads(schemas()[f"{file}.schema.json"])
    jsonschema.validate(good, schema)
    read(json.dumps(good))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schema)
    with pytest.raises(SettingsError):
        read(json.dumps(bad))


@pytest.mark.parametrize("good", [[], ["2026-12-25"], "holidays.ics"])
def test_the_schema_of_settings_accepts_holidays_as_dates_or_as_the_path_of_a_file(good):
    jsonschema.validate({"decide": {"calendar": good}}, json.loads(schemas()["detection.schema.json"]))


@pytest.mark.parametrize("bad", ["2026-12-25", ["25.12."], [20261225], None])
def test_the_schema_of_settings_refuses_other_holidays(bad):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"decide": {"calendar": bad}}, json.loads(schemas()["detection.schema.json"]))
