"""CloudEvents of a job in the records of its topics. Others may write there, too: what is no such event is passed over."""

from __future__ import annotations

import json
from typing import Any

from streamgauge.udfs.incidents.kinds import SEVERITIES


def event_of(value: bytes | None) -> dict[str, Any] | None:
    """The CloudEvent in a record; None if the record holds anything else, whatever it is."""
    try:
        event = json.loads(value or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        return None
    return event if isinstance(event.get("data"), dict) else None


def alert_of(value: bytes | None) -> dict[str, Any] | None:
    """The message about an alert in a record, as its CloudEvent; None if the record holds anything else."""
    event = event_of(value)
    if event is None or event["data"].get("severity") not in SEVERITIES:
        return None
    named = all(isinstance(event["data"].get(name), str) for name in ("alert_id", "state", "entity"))
    return event if named else None
