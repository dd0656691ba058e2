"""What the HTTP API answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field
from streamgauge.jobs.pages.thinned import thinned
from streamgauge.jobs.service.messages import LATEST
from streamgauge.jobs.service.scores import Curve
from streamgauge.jobs.service.series import BUCKETS, NO_SERIES, Series, span_of
from streamgauge.udfs.events.records import WHOLE as WHOLE_RECORD
from streamgauge.udfs.incidents.kinds import ENDED

Severity = Literal["low", "medium", "high", "critical"]
Plain = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]  # PostgreSQL cannot hold the character 0
Note = Annotated[str, Field(max_length=2_000, pattern=r"^[^\x00]*$")]
WHOLE = 1e4, 1e9  # numbers between these are shown without decimals, larger ones with a power of ten
State = Literal["opened", "updated", "resolved", "retracted"]


class Incident(BaseModel):
    """An incident, as its last change left it."""

    alert_id: str
    entity: str
    kind: str
    severity: Severity
    state: State = Field(description="Of its last change; resolved and retracted incidents have ended.")
    open: bool
    opened: datetime = Field(description="Event time of the event that opened it.")
    changed: datetime = Field(description="Event time of its last change.")
    field: str | None = Field(description="The field with the largest share in the event that opened it.")
    score: float = Field(description="Its highest score, 0 to 1.")
    confidence: float = Field(description="How far the verdict can be relied on, 0 to 1.")
    channel: str | None = Field(None, description="The look with the most evidence at the event that opened it.")
    actual: Any = Field(None, description="Value of the field in the event that opened it.")
    expected: float | None = Field(None, description="Usual value of the field at that event.")
    group: str | None = Field(None, description="Id of the group of incidents that opened together with it.")


class Incidents(BaseModel):
    """A page of incidents."""

    incidents: list[Incident]
    next: str | None = Field(description="Give it as `cursor` for the next page; null if there is none.")


class Change(BaseModel):
    """A message about an incident."""

    number: int
    state: State
    time: datetime
    data: dict[str, Any] = Field(description="The data of the alert, as on the topic.")


class Said(BaseModel):
    """What a person said of an incident."""

    by: str
    verdict: Literal["true", "false", "ignore", "undo"]
    time: datetime
    why: str = ""


class ExplainedField(BaseModel):
    """A field's part in the event that opened an incident."""

    field: str
    share: float = Field(description="Of the evidence, 0 to 1.")
    actual: Any = Field(None, description="What came.")
    expected: float | None = Field(None, description="What was expected; null if that is unknown.")


class Explanation(BaseModel):
    """Why an incident opened, by the alert that told it."""

    fields: list[ExplainedField] = Field(description="At most 10, the largest share first.")
    tail_probability: float = Field(description="How rare an event this strange is.")
    threshold: float | None = Field(description="Tail probability at or below which an event opens an incident.")
    anomalous_events: int = Field(description="Of the incident, by its last change.")
    rules: list[str] = Field(description="Rules that the event broke.")
    agreed: list[str] = Field(description="Members that found the event anomalous.")
    disagreed: list[str] = Field(description="Members that did not.")


class Value(BaseModel):
    """A value of a field."""

    time: datetime = Field(description="Of the event.")
    value: float


class PeerValues(BaseModel):
    """The same field of the other entities of the partition."""

    time: datetime = Field(description="Middle of a span of time.")
    low: float = Field(description="Percentile 10 of their values in it.")
    high: float = Field(description="Percentile 90.")


class SeriesAround(BaseModel):
    """The field with the largest share, around an incident, read from the topic of events."""

    field: str | None
    began: datetime = Field(description="Event time of the first anomalous event.")
    ended: datetime = Field(description="Event time of the last change.")
    expected: float | None = Field(description="Usual value of the field when the incident opened.")
    values: list[Value] = Field(
        description="In the order of the topic. Of more than 800, the smallest and the largest of 400 parts."
    )
    peers: list[PeerValues]
    missing: str | None = Field(description="Why there are no values; null if there are some.")


class WholeIncident(Incident):
    """An incident with all that is known of it."""

    explanation: Explanation
    series: SeriesAround | None = Field(None, description="Null unless `include` asks for it.")
    changes: list[Change]
    feedback: list[Said]
    similar: list[Incident] = Field(description="Incidents of the same entity, kind and field that opened before.")


class Counterfactual(BaseModel):
    """Which values would not have opened an incident, as scoring its events again found out."""

    alert_id: str
    state: Literal["waiting", "running", "done", "failed"]
    scored: int = Field(0, description="Events of its partition that were scored again so far.")
    events: int | None = Field(None, description="Of how many; null until they were read.")
    conditions: list[str] = Field(
        [],
        description="Such as `flow >= 24.1`: with any one of them, and all else as it came, it would not have opened.",
    )
    notes: list[str] = Field(
        [], description="Why scoring again may differ from what the job did, or what was not tried."
    )
    message: str | None = Field(None, description="Why it failed. It is tried again when somebody asks later.")


class Entity(BaseModel):
    """What the history knows about an entity."""

    entity: str
    incidents: int
    open: int
    first: datetime
    last: datetime
    kinds: dict[str, int]


class Notice(BaseModel):
    """A message of the job about itself."""

    id: str
    type: str
    time: datetime
    data: dict[str, Any]


class Verdict(BaseModel, extra="forbid"):
    """Feedback on an incident."""

    verdict: Literal["true", "false", "ignore", "undo"] = Field(
        description="true: an anomaly; false: not an anomaly; ignore: no alerts like it until a time; undo: takes back what was said."
    )
    until: datetime | None = Field(None, description="With ignore: until when, with a time zone.")
    why: Note = Field("", description="A note for people.")


class ScoredEvent(BaseModel):
    """What the pipeline says of an event."""

    record: int = Field(description="Which of the request's `events` holds it, from 0; some hold several events.")
    entity: str | None = Field(None, description="Null if the event could not be read.")
    known: int = Field(0, description="Events of the entity that were known before the request.")
    outcome: Literal["scored", "unjudged", "late", "dead_letter", "skipped"] = Field(
        description="unjudged: too little is known to judge it; late, dead_letter: it was set aside; skipped: it holds no event."
    )
    score: float | None = Field(None, description="0 to 1; null if it is not scored.")
    tail_probability: float | None = Field(None, description="How rare an event this strange is.")
    anomalous: bool = False
    opens: bool = Field(False, description="Whether it would have opened an incident.")
    kind: str | None = Field(None, description="Of an anomalous event.")
    severity: Severity | None = Field(None, description="Of an anomalous event.")
    field: str | None = Field(None, description="The field with the largest share in it.")
    actual: Any = Field(None, description="Value of this field.")
    expected: float | None = Field(None, description="Usual value of this field.")
    reason: str | None = Field(None, description="Why it was set aside.")
    message: str | None = Field(None, description="The same in words.")
    learned: bool = False


class Scores(BaseModel):
    """What the pipeline says of the events of a request, in their order."""

    events: list[ScoredEvent]
    replayed: int = Field(description="Records of the topic that the service has learned since its start.")
    warm: bool = Field(description="Whether these are all that it learns at its start.")


class EventScore(BaseModel):
    """The score of an event."""

    time: datetime = Field(description="Of the event.")
    score: float | None = Field(description="0 to 1; null if the event could not be judged.")
    tail_probability: float | None = Field(description="How rare an event this strange is.")
    topic: str = Field(description="Topic of the event; partition and offset are its place there.")
    partition: int
    offset: int
    place: int | None = Field(description="Place in its record; null if that holds no other event.")
    events: int = Field(
        1,
        description="Events of the same entity and hour that it stands for: of past days, the service may keep the largest score.",
    )


class EntityScores(BaseModel):
    """Scores of the events of an entity, in the order of their times."""

    entity: str
    threshold: float | None = Field(
        description="Tail probability at or below which an event is anomalous, as the newest alert of the entity says."
    )
    whole: bool = Field(description="False if only the newest 20,000 were looked at.")
    scores: list[EventScore] = Field(description="Of more than 800, the smallest and the largest of 400 parts.")


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


def incident_of(row: dict[str, Any]) -> Incident:
    """The answer for a row of the table of incidents."""
    return Incident(**_incident(row))


def whole_incident_of(row: dict[str, Any], series: SeriesAround | None = None) -> WholeIncident:
    """The answer for an incident as `Queries.incident` gives it."""
    changes = [Change(**{n: c[n] for n in ("number", "state", "data")}, time=moment(c["time"])) for c in row["changes"]]
    said = [
        Said(by=one["by"], verdict=one["verdict"], time=moment(one["time"]), why=str(one["data"].get("why") or ""))
        for one in row["feedback"]
    ]
    similar = [incident_of(one) for one in row["similar"]]
    return WholeIncident(
        **_incident(row),
        explanation=explanation_of(row),
        series=series,
        changes=changes,
        feedback=said,
        similar=similar,
    )


def explanation_of(row: dict[str, Any]) -> Explanation:
    """Why an incident opened; `row` is as `Queries.incident` gives it."""
    first = row["first"]
    # PostgreSQL keeps no order of keys.
    shares = sorted(first["contributions"].items(), key=lambda pair: -float(pair[1]))
    return Explanation(
        fields=[
            ExplainedField(
                field=name, share=share, actual=first["actual"].get(name), expected=first["expected"].get(name)
            )
            for name, share in shares
        ],
        tail_probability=first["tail_probability"],
        threshold=first.get("threshold"),
        anomalous_events=row["last"]["window"]["anomalous_events"],
        rules=first["rules"],
        agreed=first["agreed"],
        disagreed=first.get("disagreed", []),
    )


def series_of(row: dict[str, Any], drawn: Series | None) -> SeriesAround:
    """The answer for the series around an incident, as `series.around` gives it."""
    began, ended = span_of(row)
    kept = [] if drawn is None else thinned(np.array(drawn.values), BUCKETS).tolist()
    times, values, peers = ([], [], []) if drawn is None else (drawn.times, drawn.values, drawn.peers)
    return SeriesAround(
        field=row["field"],
        began=moment(began),
        ended=moment(ended),
        expected=row["first"]["expected"].get(row["field"]),
        values=[Value(time=moment(times[k]), value=values[k]) for k in kept],
        peers=[PeerValues(time=moment(time), low=low, high=high) for time, low, high in peers],
        missing=NO_SERIES if drawn is None else None,
    )


def entity_scores_of(entity: str, curve: Curve) -> EntityScores:
    """The answer for the scores of an entity."""
    found = [
        EventScore(
            **{name: row[name] for name in ("score", "tail_probability", "topic", "partition", "offset")},
            time=moment(row["time"]),
            place=None if row["place"] == WHOLE_RECORD else row["place"],
            events=row["events"] or 1,
        )
        for row in curve.rows
    ]
    return EntityScores(entity=entity, threshold=curve.threshold, whole=curve.whole, scores=found)


def moment(milliseconds: int) -> datetime:
    """A time of the database, within the years that can be shown: Kafka's timestamps are as producers set them."""
    return datetime.fromtimestamp(min(max(milliseconds, 0), LATEST) / 1000.0, UTC)


def number(value: Any) -> str:
    """A value for people: four digits of a number, or more before the point, else the value itself."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if WHOLE[0] <= abs(value) < WHOLE[1] else f"{value:.4g}"
    return str(value)


def _incident(row: dict[str, Any]) -> dict[str, Any]:
    first, field = row["first"], row["field"]
    plain = {name: row[name] for name in ("alert_id", "entity", "kind", "severity", "state", "field", "score")}
    return plain | {
        "open": row["state"] not in ENDED,
        "opened": moment(row["opened"]),
        "changed": moment(row["changed"]),
        "confidence": first.get("confidence", 1.0),
        "channel": first.get("channel"),
        "actual": first.get("actual", {}).get(field),
        "expected": first.get("expected", {}).get(field),
        "group": (first.get("group") or {}).get("id"),
    }
