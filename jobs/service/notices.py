"""What the page and the API show of notices about quality, models and groups. Their other keys are kept as they are."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, Field

# As `udfs.monitoring.quality` has it, which is not imported: it needs numerical libraries, and these need much memory.
TRACKED = "io.streamgauge.tracked"
STEP = "io.streamgauge.model."  # types of notices about models begin so
COMPARED = f"{STEP}compared"
GROUPED = ("io.streamgauge.group.opened", "io.streamgauge.group.updated")
LARGEST = 1e15  # of a number that is shown; databases can add up many of these
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Whole = Annotated[int, Field(ge=0, le=1 << 53)]


class _OfAge(BaseModel):
    promised: Number
    opened: Whole


class Promised(BaseModel):
    """Promised and achieved incidents a day of a partition, and since its last report by the age of the entities."""

    promised: Number
    achieved: Number
    by_age: dict[str, _OfAge]


class Probed(BaseModel):
    """A probe and whether it was found."""

    kind: str
    found: bool


class Covered(BaseModel):
    """Numbers of entities."""

    known: Whole
    warm: Whole
    rich: Whole


class Report(BaseModel):
    """A report of the job about the quality of one partition."""

    topic: str | None = Field(None, description="Topic of the partition; null for the first or only one.")
    partition: int
    of: Whole
    unjudged: Whole = 0
    promise: Promised | None = None
    probe: Probed | None = None
    entities: Covered
    feedback: dict[str, Whole] = {}
    models: dict[str, str] = {}


class Step(BaseModel):
    """A step of the trainer with one model."""

    model: str
    version: int | None = Field(None, description="The version that the step is about.")
    live: int | None = Field(None, description="The version that was live.")
    detector: str | None = None
    request: str | None = None
    reason: str | None = Field(None, description="Why the job asked for a new version.")
    gate: str | None = Field(None, description="With a rejection: the gate that the version did not pass.")
    why: str | None = None
    rows: Whole | None = Field(None, description="Events that it was trained on.")
    share: Number | None = Field(None, description="With a canary: its share of the entities.")
    separates_planted: Number | None = Field(None, description="How well it separates synthetic anomalies, 0.5 to 1.")
    live_separates_planted: Number | None = None
    us_per_event: Number | None = Field(None, description="Microseconds for an event.")
    live_us_per_event: Number | None = None


class Compared(BaseModel):
    """A live version and its shadow on the same events of one partition."""

    model: str
    live: int
    shadow: int
    threshold: Number
    events: Whole
    both: Whole
    only_live: Whole
    only_shadow: Whole
    probes: Whole
    live_right: Whole
    shadow_right: Whole


# Those of its figures that are added up, and the threshold, which is not the same in all comparisons.
FIGURES = ("threshold", "events", "both", "only_live", "only_shadow", "probes", "live_right", "shadow_right")


class Root(BaseModel, strict=True):
    """The first incident of a group."""

    entity: str
    field: str | None = None


class Grouped(BaseModel, strict=True):
    """A group of incidents of all partitions."""

    id: str
    incidents: Whole
    groups: list[str] = Field(description="The groups of single partitions that belong to it.")
    root: Root


SHOWN: dict[str, type[BaseModel]] = {TRACKED: Report, COMPARED: Compared, GROUPED[0]: Grouped, GROUPED[1]: Grouped}


def check(kind: str, data: dict[str, Any]) -> None:
    """Check the data of a notice that the page shows in more than a list.

    Raises
    ------
    ValidationError
        A key is missing, or holds another kind of value.
    ValueError
        A number is not finite.
    """
    if kind in SHOWN or kind.startswith(STEP):
        json.dumps(data, allow_nan=False)  # SQLite would not find anything in such a value
        SHOWN.get(kind, Step).model_validate(data)
