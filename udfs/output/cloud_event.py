"""The envelope of what is told: CloudEvents 1.0."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()


def rfc3339(milliseconds: int) -> str:
    """A moment as CloudEvents writes it, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def cloud_event(
    identity: str, kind: str, subject: str, time: int, data: dict[str, Any], *, job: str, topic: str
) -> bytes:
    """JSON of an event.

    Parameters
    ----------
    identity : str
        The same for the same event, however often it is told.
    kind : str
        Its type, without ``io.streamgauge.``.
    subject : str
        The entity, or field, that it is about.
    time : int
        Milliseconds.
    data : dict
    job, topic : str
        Where it comes from.
    """
    return _encoder.encode(
        {
            "specversion": "1.0",
            "id": identity,
            "source": f"/streamgauge/{job}/{topic}",
            "type": f"io.streamgauge.{kind}",
            "subject": subject,
            "time": rfc3339(time),
            "datacontenttype": "application/json",
            "data": data,
        }
    )
