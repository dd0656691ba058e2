"""JSON Schemas of the settings file, control messages and feedback. Run this file to write them into flink-conf."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core.core_schema import WithDefaultSchema
from streamgauge.jobs.settings.loading import Settings
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.messages import MESSAGES
from streamgauge.udfs.settings.base import IN_FILE, IN_FILE_SCHEMA, Section, duration_text

FOLDER = Path("flink-conf")


class _OfFile(GenerateJsonSchema):
    """Defaults as they stand in a file: editors insert them, so a duration needs its unit."""

    def encode_default(self, dft: Any) -> Any:
        return dft.model_dump(mode="json", context=IN_FILE) if isinstance(dft, Section) else super().encode_default(dft)

    def default_schema(self, schema: WithDefaultSchema) -> dict[str, Any]:
        found = super().default_schema(schema)
        if isinstance(found.get("default"), int) and found.get("anyOf") == IN_FILE_SCHEMA["anyOf"]:
            found["default"] = duration_text(found["default"])
        return found


def schemas() -> dict[str, str]:
    """The text of each schema file in flink-conf, by name of the file."""
    made = {
        "detection": ("Streamgauge settings", Settings.model_json_schema(schema_generator=_OfFile)),
        "control": ("A message of the control topic", MESSAGES.json_schema()),
        "feedback": ("A message of the feedback topic", Feedback.model_json_schema()),
    }
    return {
        f"{name}.schema.json": json.dumps(described | {"title": title}, indent=2) + "\n"
        for name, (title, described) in made.items()
    }


if __name__ == "__main__":
    for file, text in schemas().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
