"""JSON Schemas of the settings file, control messages and feedback. Run this file to write them into flink-conf."""

from __future__ import annotations

import json
from pathlib import Path

from streamgauge.jobs.settings.loading import Settings
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.messages import MESSAGES

FOLDER = Path("flink-conf")


def schemas() -> dict[str, str]:
    """The text of each schema file in flink-conf, by name of the file."""
    made = {
        "detection": ("Streamgauge settings", Settings.model_json_schema()),
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
