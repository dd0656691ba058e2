"""The envelope of alerts, notices and requests: CloudEvents 1.0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.output.limits import cut_text, encode


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record comes from.

    Attributes
    ----------
    topic : str
        Of the events.
    job : str
    partition : int
        -1 for a shard of entities.
    """

    topic: str
    job: str
    partition: int = -1

    def event(self, identity: str, kind: str, subject: str, time: int, data: dict[str, Any]) -> bytes:
        """JSON of a CloudEvent.

        Parameters
        ----------
        identity : str
            The same for the same event, however often it is written.
        kind : str
            Its type, without ``io.streamgauge.``.
        subject : str
            The entity, field or model that it is about.
        time : int
            Milliseconds.
        data : dict
        """
        return encode(
            {
                "specversion": "1.0",
                "id": identity,
                "source": f"/streamgauge/{self.job}/{self.topic}",
                "type": f"io.streamgauge.{kind}",
                "subject": cut_text(subject),
                "time": rfc3339(time),
                "datacontenttype": "application/json",
                "data": data,
            }
        )
