"""What happens to saved state when a job goes on from it with other detectors, or with another release.

What detectors and calibrators have learned cannot be read by others, so these begin anew. Everything else stays: which events were
taken, names and counts of entities, the schema, open incidents, silence, feedback, the promise, and what the windows hold.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from streamgauge.udfs.output.cloud_event import Origin
from streamgauge.udfs.output.limits import cut_text
from streamgauge.udfs.scoring.scorer import Scorer

FORMAT = 2  # raise it if what is learned means something else, although names and sizes of the state are as before
LEARNED = "cijlqr"  # first letters of the keys under which only what was learned is saved


def layout(scorer: Scorer) -> list[int]:
    """What must be equal, besides the names of the members, so that a scorer can read what another one has learned."""
    return [FORMAT, scorer.light_width, scorer.rich_width]


def is_readable(header: dict[str, Any], scorer: Scorer) -> bool:
    """Whether a scorer can read what was learned; the header of the state says so. State of 0.1.0 names no layout."""
    return bool(header["members"] == scorer.members and header.get("layout") == layout(scorer))


@dataclass(frozen=True, slots=True)
class NewDetectors:
    """The detectors of a source of events have begun anew.

    Attributes
    ----------
    generation : int
        How often they did.
    before, now : list of str
        Names of the members in the saved state, and of those in the settings.
    """

    generation: int
    before: list[str]
    now: list[str]

    @property
    def message(self) -> str:
        """What happened, for people."""
        added, removed = ([n for n in a if n not in b] for a, b in ((self.now, self.before), (self.before, self.now)))
        changes = [f"{what}: {', '.join(names)}" for what, names in (("new", added), ("gone", removed)) if names]
        why = "; ".join(changes) or "their saved state has another layout"
        return (
            f"detectors and calibrators begin anew ({why}). They need some events of each entity until they find anomalies again. "
            "Entities, incidents, schema, silence, feedback and the promise are kept"
        )

    def notice(self, origin: Origin, window: str, time: int) -> tuple[str, bytes]:
        """Write the notice about it.

        Parameters
        ----------
        origin : Origin
        window : str
            Name of the windows whose aggregates are the events; empty for real events.
        time : int
            Event time of the partition, milliseconds.

        Returns
        -------
        (str, bytes)
            Key (the topic of the events) and JSON of a CloudEvent.
        """
        place = f"{origin.topic}\0{origin.partition}\0{window}\0{self.generation}\0{self.before}\0{self.now}"
        identity = hashlib.blake2b(place.encode(), digest_size=12).hexdigest()
        data = {
            "message": cut_text(self.message),
            "before": self.before,
            "now": self.now,
            "topic": origin.topic,
            "partition": origin.partition,
        }
        if window:
            data["windows"] = window
        return origin.topic, origin.event(identity, "detectors.restarted", origin.topic, time, data)
