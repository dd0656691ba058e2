"""A key of the settings that is chosen for a topic, with the reason."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from streamgauge.jobs.settings.strict_yaml import write
from streamgauge.udfs.events.entity import MAX_ENTITY

NAMED = 20  # fields that a comment names


@dataclass(frozen=True, slots=True)
class Choice:
    """A key of the settings that differs from its default, and why."""

    key: str
    value: Any
    why: str

    @property
    def text(self) -> str:
        """The value as YAML, on one line."""
        plain = write(self.value, on_one_line=True).strip()
        return plain if "\n" not in plain else json.dumps(self.value)  # JSON is YAML on one line


def listed(names: Iterable[str]) -> str:
    """Names as JSON, which cannot end a comment; at most `NAMED` of them."""
    every = list(names)
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return ", ".join(json.dumps(name[:MAX_ENTITY]) for name in every[:NAMED]) + more
