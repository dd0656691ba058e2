"""Feedback: what people say of alerts. A message also holds the facts about the alert that the job needs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from streamgauge.jobs.kafka.follow import records_of
from streamgauge.jobs.kafka.topics import read_compacted, send_feedback
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.models.errors import InputError, SettingsError
from streamgauge.udfs.control.feedback import Feedback, FeedbackInForce, Source, Stretch, parse_feedback

Verdict = Literal["true", "false", "ignore"]


def judge(
    kafka: KafkaSettings, alert_id: str, verdict: Verdict, by: str, until: datetime | None = None, why: str = ""
) -> Feedback:
    """Find an alert, and send the running jobs what a person says of it.

    Parameters
    ----------
    kafka : KafkaSettings
    alert_id : str
        Id of the alert, or the beginning of an id that only this alert has.
    verdict : {"true", "false", "ignore"}
    by : str
        Who judges.
    until : datetime, optional
        With `ignore`: until when.
    why : str
        A note for people.

    Raises
    ------
    InputError
        There is no such alert, or the verdict is `ignore` without a time.
    ClusterError
        The broker does not answer.
    """
    message = about([record["data"] for record in records_of(kafka, alert_id)], verdict, by, until, why)
    send_feedback(kafka, message)
    return message


def about(
    records: list[dict[str, Any]], verdict: Verdict, by: str, until: datetime | None = None, why: str = ""
) -> Feedback:
    """The message with what a person says of an alert.

    Parameters
    ----------
    records : list of dict
        The data of all messages about the alert, in order.
    verdict, by, until, why
        See `judge`.

    Raises
    ------
    InputError
        The verdict is `ignore` without a time, or another value is not allowed.
    """
    first, last = records[0], records[-1]
    source, end = first["source"], last["source"]
    begun = source.get("first_offset", source.get("opened_offset", source["offset"]))
    last_offset = end.get("last_offset", end["offset"])
    place = Source(topic=source.get("topic"), partition=source["partition"], first=begun, last=last_offset)
    rarest = max(min(record["tail_probability"] for record in records), 1e-300)
    shares = first["contributions"]
    field = max(shares, key=shares.__getitem__, default=None)
    actual, expected = (first[of].get(field) for of in ("actual", "expected"))
    known = isinstance(actual, int | float) and expected is not None
    try:
        return Feedback(
            alert_id=first["alert_id"],
            entity=first["entity"],
            kind=first["kind"],
            field=field,
            tail_probability=rarest,
            effect=abs(actual - expected) if known else None,
            verdict=verdict,
            until=until,
            by=by,
            why=why,
            agreed=tuple(first["agreed"]),
            disagreed=tuple(first["disagreed"]),
            source=place,
        )
    except ValueError as error:
        raise InputError(str(error).split("Value error, ")[-1].split(" [")[0]) from error


def newest_feedback(kafka: KafkaSettings, since: int = 0) -> list[Feedback]:
    """The newest feedback of each person on each alert, since a time in milliseconds."""
    known = FeedbackInForce()
    for _, text in read_compacted(kafka, kafka.topics.feedback, since):
        try:
            known.take(parse_feedback(text))
        except SettingsError:
            continue  # the job has put it on the dead-letter topic
    return list(known.newest.values())


def votes(feedback: Iterable[Feedback]) -> dict[str, int]:
    """By alert: number of people who found it true, minus those who found it false. `ignore` is not a vote."""
    found: dict[str, int] = {}
    for one in feedback:
        if one.verdict != "ignore":
            found[one.alert_id] = found.get(one.alert_id, 0) + (1 if one.verdict == "true" else -1)
    return found


def confirmed(kafka: KafkaSettings) -> list[Stretch]:
    """Offsets of the events whose alerts somebody found true."""
    true = (message for message in newest_feedback(kafka) if message.verdict == "true")
    return [Stretch(message.entity, message.source) for message in true if message.source is not None]
