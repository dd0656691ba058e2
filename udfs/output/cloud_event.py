"""The envelope of alerts, notices and requests: CloudEvents 1.0."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from streamgauge.udfs.control.proof import Sign
from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.output.limits import cut_text, encode


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record comes from.

    Attributes
    ----------
    topic : str
        Topic of the events.
    job : str
        Name of the job.
    partition : int
        Partition of the events; -1 for a shard of entities, which has events of all partitions.
    named : bool
        Whether the key names the topic. It does so for all topics of a job but the first one.
    sign : callable or None
        Signs what alerts tell, so that the job believes feedback on them; None if the job does not sign.
    """

    topic: str
    job: str
    partition: int = -1
    named: bool = False
    sign: Sign | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> int | str:
        """What the source of events is called in saved state and in ids: ``3``, or ``3@metrics`` if the topic is named."""
        return f"{self.partition}@{self.topic}" if self.named else self.partition

    @property
    def further(self) -> dict[str, Any]:
        """The topic, for notices that name a partition; nothing if the topic is not named."""
        return {"topic": self.topic} if self.named else {}

    def event(self, identity: str, kind: str, subject: str, time: int, data: dict[str, Any]) -> bytes:
        """Write a CloudEvent.

        Parameters
        ----------
        identity : str
            Stays the same if the same CloudEvent is written again, so that a repeat can be recognised.
        kind : str
            Its type, without ``io.streamgauge.``.
        subject : str
            The entity, field or model that it is about.
        time : int
            Event time, milliseconds since 1970.
        data : dict

        Returns
        -------
        bytes
            JSON, at most `limits.MOST_BYTES`.
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
