"""Feedback: what people say of alerts. A message also holds the facts about the alert that the job needs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from streamgauge.jobs.kafka.follow import records_of
from streamgauge.jobs.kafka.topics import records_since, send_feedback
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import InputError, SettingsError
from streamgauge.udfs.control.feedback import Feedback, FeedbackInForce, Stretch, Verdict, known_from, parse_feedback
from streamgauge.udfs.control.proof import Gate, told_by


def judge(
    settings: Settings, alert_id: str, verdict: Verdict, by: str, until: datetime | None = None, why: str = ""
) -> Feedback:
    """Find an alert, and send the running jobs what a person says of it.

    Parameters
    ----------
    settings : Settings
    alert_id : str
        Id of the alert, or the beginning of an id that only this alert has.
    verdict : {"true", "false", "ignore", "undo"}
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
    SettingsError
        The job would not believe it: nothing proves the alert, or the person may not say this.
    ClusterError
        The broker does not answer.
    """
    records = [record["data"] for record in records_of(settings.kafka, alert_id)]
    message = about(records, verdict, by, until, why)
    Gate(settings.feedback).admit(message)
    send_feedback(settings.kafka, message)
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
    try:
        told = [told_by(record) for record in records]
        rarest = min(told, key=lambda one: one.tail_probability)
        chosen = {one.signed_part: one for one in (told[0], rarest, told[-1])}  # each once, in their order
        known = known_from(tuple(chosen.values()))
        return Feedback(**known, verdict=verdict, until=until, at=datetime.now(UTC), by=by, why=why)
    except ValueError as error:
        raise InputError(str(error).split("Value error, ")[-1].split(" [")[0]) from error


def undo(settings: Settings, by: str, only: str | None = None) -> list[Feedback]:
    """Take back what a person said of alerts, and send that to the running jobs.

    Parameters
    ----------
    settings : Settings
    by : str
        Who said it.
    only : str, optional
        Id of the alert, or the beginning of an id; by default all alerts.

    Returns
    -------
    list of Feedback
        The messages that were in force.

    Raises
    ------
    InputError
        The person said nothing of such an alert.
    ClusterError
        The broker does not answer.
    """
    said = [one for one in newest_feedback(settings) if one.by == by and one.alert_id.startswith(only or "")]
    if not said:
        raise InputError(
            f"no feedback of {by!r}{f' on an alert {only!r}' if only else ''} is in force (`streamgauge feedback` lists it)"
        )
    if only and len(said) > 1:
        ids = ", ".join(sorted(one.alert_id for one in said)[:5])
        raise InputError(f"{only!r} is the beginning of {len(said)} alerts: {ids}")
    now = {"verdict": "undo", "until": None, "at": datetime.now(UTC)}
    for one in said:
        send_feedback(settings.kafka, one.model_copy(update=now))
    return said


def newest_feedback(settings: Settings, since: int = 0) -> list[Feedback]:
    """The newest feedback of each person on each alert that the job believes, and that came since a time in milliseconds."""
    known, gate, kafka = FeedbackInForce(), Gate(settings.feedback), settings.kafka
    came: dict[str, int] = {}
    for record in records_since(kafka, kafka.topics.feedback):
        try:
            message = parse_feedback(record.value or b"")
            gate.admit(message)
        except SettingsError:
            continue  # the job has put it on the dead-letter topic
        if known.take(message):
            came[message.key] = record.timestamp
    return [message for key, message in known.newest.items() if came[key] >= since]


def votes(feedback: Iterable[Feedback]) -> dict[str, int]:
    """By alert: number of people who found it true, minus those who found it false. `ignore` is not a vote."""
    found: dict[str, int] = {}
    for one in feedback:
        if one.verdict != "ignore":
            found[one.alert_id] = found.get(one.alert_id, 0) + (1 if one.verdict == "true" else -1)
    return found


def confirmed(settings: Settings) -> list[Stretch]:
    """Offsets of the events whose alerts somebody found true."""
    true = (message for message in newest_feedback(settings) if message.verdict == "true")
    return [Stretch(message.entity, message.source) for message in true if message.source is not None]
