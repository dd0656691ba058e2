"""Records of topics as rows of tables. A record that the page and the API could not show is refused here, with a reason."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, Field, ValidationError
from streamgauge.jobs.service import notices
from streamgauge.models.errors import SettingsError
from streamgauge.udfs.control.feedback import most_to_blame, parse_feedback
from streamgauge.udfs.control.proof import check_proof
from streamgauge.udfs.events.entity import MAX_ENTITY
from streamgauge.udfs.events.records import WHOLE
from streamgauge.udfs.events.time import epoch_milliseconds
from streamgauge.udfs.incidents.kinds import SEVERITIES
from streamgauge.udfs.incidents.promise import AGES
from streamgauge.udfs.settings.feedback import FeedbackSettings

LONGEST = 400  # characters of a name in an index: three times as many bytes, and PostgreSQL allows 2,700
LATEST = 253_402_300_799_000  # milliseconds: the last second of the year 9999
SHOWN = 200  # characters of an unreadable record that are kept
CUT = 4 * 4 * SHOWN // 3 // 4 * 4  # characters of base64: whole bytes, enough for `SHOWN` characters
MOST_WORDS = 500  # characters of a message that are kept
LATE = "late"  # reason of an event on the topic of late events, which names none
Name = Annotated[str, Field(min_length=1, max_length=LONGEST)]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a topic.

    Attributes
    ----------
    topic : str
    partition, offset, timestamp : int
        The timestamp is Kafka's, in milliseconds.
    value : bytes or None
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None


class UnreadableError(Exception):
    """A record is not what its topic should hold."""


class _Window(BaseModel, strict=True):
    start: str | float = Field(alias="from")
    to: str | float
    anomalous_events: int


class _Source(BaseModel, strict=True):
    partition: int
    offset: int
    opened_partition: int | None = None
    opened_offset: int | None = None


class _Group(BaseModel, strict=True):
    id: str
    incidents: int = 1
    root: notices.Root | None = None


class _Alert(BaseModel, strict=True):
    """What the page and the API show of an alert. Its other keys are kept as they are.

    Values are shown as they came, so a text that could be read as a number is none.
    """

    alert_id: Name
    state: Literal["opened", "updated", "resolved", "retracted"]
    entity: Annotated[str, Field(min_length=1)]
    kind: Name
    channel: str | None = None
    severity: Literal["low", "medium", "high", "critical"]
    tail_probability: float = Field(ge=0, le=1)
    threshold: float | None = Field(None, gt=0, le=1)
    peak_score: float
    confidence: float
    window: _Window
    actual: dict[str, Any]
    expected: dict[str, float | None]
    contributions: dict[str, float]
    agreed: list[str]
    disagreed: list[str] = []
    rules: list[str]
    source: _Source
    group: _Group | None = None


_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Time = Annotated[int, msgspec.Meta(ge=-LATEST, le=LATEST)]
_Natural = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Small = Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)]


class _Scored(msgspec.Struct):
    """What is kept of the score of an event."""

    topic: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)]
    partition: _Small
    offset: _Natural
    entity: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ENTITY)]
    time: _Time
    score: _Share | None
    tail_probability: _Share | None
    place: _Small | None = None


class _SetAside(msgspec.Struct):
    """What is shown of a record or an event that the job set aside."""

    topic: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)]
    partition: _Small
    offset: _Natural
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)] = LATE
    message: str = ""
    late_by_ms: int | None = None
    place: _Small | None = None
    payload: str | None = None


class _Envelope(BaseModel):
    id: Name
    type: Name | None = None
    time: str | float
    data: dict[str, Any]


def change_of(record: Record) -> Row:
    """The row of `changes` for an alert.

    Raises
    ------
    UnreadableError
    """
    envelope = _envelope(record)
    data = envelope.data
    try:
        alert = _Alert.model_validate(data)
        row = {"event_id": envelope.id, "alert_id": alert.alert_id, "state": alert.state}
        times = [epoch_milliseconds(time) for time in (envelope.time, alert.window.start, alert.window.to)]
    except (ValidationError, ValueError, OverflowError) as error:
        raise UnreadableError(_reason(error)) from error
    return row | {"time": times[0], "data": data, "arrived": record.timestamp}


def incident_of(change: Row, first: dict[str, Any]) -> Row:
    """The row of an incident after a change; `first` is the data of its first change."""
    data = change["data"]
    return {
        "alert_id": change["alert_id"],
        "entity": data["entity"],
        "kind": data["kind"],
        "severity": data["severity"],
        "rank": SEVERITIES.index(data["severity"]),
        "state": change["state"],
        "opened": epoch_milliseconds(data["window"]["from"]),
        "changed": change["time"],
        "arrived": change["arrived"],
        "field": most_to_blame(first["contributions"]),
        "score": float(data["peak_score"]),
        "first": first,
        "last": data,
    }


def notice_of(record: Record) -> Row:
    """The row of `notices` for a message of the job about itself.

    Raises
    ------
    UnreadableError
    """
    envelope = _envelope(record)
    if envelope.type is None:
        raise UnreadableError("type: a notice needs one")
    try:
        notices.check(envelope.type, envelope.data)
        time = epoch_milliseconds(envelope.time)
    except (ValidationError, ValueError, OverflowError) as error:
        raise UnreadableError(_reason(error)) from error
    row = {"event_id": envelope.id, "type": envelope.type, "time": time}
    return row | {"arrived": record.timestamp, "data": envelope.data}


def report_of(notice: Row) -> Row:
    """The row of `reports` for the row of a notice about the quality of a partition."""
    report = notices.Report.model_validate(notice["data"])
    row = {name: notice[name] for name in ("event_id", "time", "arrived")}
    row["place"] = f"{report.topic}/{report.partition}" if report.topic else str(report.partition)
    row |= {"events": float(report.of), "unjudged": float(report.unjudged), "promised": None, "opened": None}
    if report.promise is not None:
        ages = [report.promise.by_age[age] for age in AGES if age in report.promise.by_age]
        row |= {"promised": float(sum(age.promised for age in ages)), "opened": float(sum(age.opened for age in ages))}
    probe = report.probe
    return row | {"probe": probe and probe.kind, "found": probe and probe.found}


def comparison_of(notice: Row) -> Row:
    """The row of `comparisons` for the row of a notice that compares a live version with its shadow."""
    compared = notices.Compared.model_validate(notice["data"])
    row = {name: notice[name] for name in ("event_id", "arrived")} | {"model": compared.model}
    row |= {name: str(getattr(compared, name)) for name in ("live", "shadow")}
    return row | {name: float(getattr(compared, name)) for name in notices.FIGURES}


def members_of(notice: Row) -> list[Row]:
    """The rows of `group_members` for the row of a notice about a group of several partitions."""
    data = notice["data"]
    whole = {"whole": data["id"], "incidents": data["incidents"], "root": data["root"], "arrived": notice["arrived"]}
    return [{"group_id": group_id} | whole for group_id in data["groups"]]


def score_of(record: Record) -> Row:
    """The row of `scores` for the score of an event.

    Raises
    ------
    UnreadableError
    """
    try:
        scored = msgspec.json.decode(record.value or b"", type=_Scored)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(_reason(error)) from error
    row = {name: clean(getattr(scored, name)) for name in ("topic", "entity")}
    row |= {name: getattr(scored, name) for name in ("partition", "offset", "time", "score", "tail_probability")}
    return row | {"place": WHOLE if scored.place is None else scored.place, "arrived": record.timestamp}


def set_aside_of(record: Record) -> Row:
    """A dead letter or a late event, for the counts in `not_scored`: its reason, arrival, identity, and what an example shows.

    Raises
    ------
    UnreadableError
    """
    try:
        found = msgspec.json.decode(record.value or b"", type=_SetAside)
        beginning = None if found.payload is None else base64.b64decode(found.payload[:CUT], validate=True)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(_reason(error)) from error
    message = found.message
    if found.late_by_ms is not None:
        message = f"it is {found.late_by_ms / 1000:g} s older than the newest event before it"
    place = {name: getattr(found, name) for name in ("topic", "partition", "offset", "place")}
    shown = None if beginning is None else beginning.decode(errors="replace")[:SHOWN]
    example = place | {"message": message[:MOST_WORDS], "beginning": shown}
    row = {"reason": found.reason, "example": example}
    cleaned: Row = clean(row)
    return cleaned | {"arrived": record.timestamp, "identity": tuple(place.values())}


def feedback_of(record: Record, trust: FeedbackSettings) -> Row:
    """The row of `feedback` for what a person said. It is unreadable if nothing proves that the job sent the alert.

    Raises
    ------
    UnreadableError
    """
    try:
        said = parse_feedback(record.value or b"")
        check_proof(said, trust)
    except SettingsError as error:
        raise UnreadableError(str(error)) from error
    if len(said.alert_id) > LONGEST:
        raise UnreadableError(f"alert_id: at most {LONGEST} characters are allowed")
    row = {"alert_id": said.alert_id, "by": said.by, "verdict": said.verdict, "time": record.timestamp}
    cleaned: Row = clean(row | {"data": said.model_dump(mode="json")})
    return cleaned


def unreadable_of(record: Record, why: str) -> Row:
    """The row of `unreadable` for a record that is not what its topic should hold."""
    beginning = clean((record.value or b"")[: 4 * SHOWN].decode(errors="replace"))[:SHOWN]
    place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    arrived = min(record.timestamp, LATEST)  # it may be what the database refuses
    return place | {"reason": clean(why)[:SHOWN], "beginning": beginning, "arrived": arrived}


def clean(value: Any) -> Any:
    """A JSON value without what databases cannot hold in texts: the character 0, and halves of a character."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode(errors="replace").decode()
    if isinstance(value, dict):
        return {clean(name): clean(inner) for name, inner in value.items()}
    return [clean(inner) for inner in value] if isinstance(value, list) else value


def _envelope(record: Record) -> _Envelope:
    try:
        return _Envelope.model_validate(_decoded(record.value or b""))
    except (ValidationError, ValueError, RecursionError) as error:
        raise UnreadableError(_reason(error)) from error


def _decoded(raw: bytes) -> Any:
    """The JSON value of a record, cleaned. Without an escape there is nothing to clean, and looking costs more than all else here."""
    if b"\\u" not in raw:
        return msgspec.json.decode(raw)
    return clean(json.loads(raw, parse_constant=_number, parse_float=_number))


def _reason(error: Exception) -> str:
    """What is wrong, on one line; the first thing, if there are several."""
    if isinstance(error, ValidationError):
        wrong = error.errors()[0]
        return f"{'.'.join(map(str, wrong['loc'])) or 'message'}: {wrong['msg']}"
    return f"{type(error).__name__}: {error}"


def _number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:SHOWN]} is no JSON number")
    return number
