"""What somebody says of an alert, with all that the job needs to know of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from streamgauge.jobs.kafka.follow import records_of
from streamgauge.jobs.kafka.topics import read_compacted, send_feedback
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.models.errors import InputError, SettingsError
from streamgauge.udfs.control.feedback import Feedback, Heard, Source, Stretch, parse_feedback

Verdict = Literal["true", "false", "ignore"]


def judge(
    kafka: KafkaSettings, alert_id: str, verdict: Verdict, by: str, until: datetime | None = None, why: str = ""
) -> Feedback:
    """Find an alert, and tell the jobs what somebody says of it.

    Parameters
    ----------
    kafka : KafkaSettings
    alert_id : str
        Or a beginning of it that no other has.
    verdict : {"true", "false", "ignore"}
    by : str
        Who.
    until : datetime, optional
        With ignore.
    why : str

    Raises
    ------
    InputError
        There is no such alert, or the verdict lacks its time.
    ClusterError
        The broker does not answer.
    """
    records = [record["data"] for record in records_of(kafka, alert_id)]
    first, last = records[0], records[-1]
    source, end = first["source"], last["source"]
    begun = source.get("first_offset", source.get("opened_offset", source["offset"]))
    place = Source(partition=source["partition"], first=begun, last=end.get("last_offset", end["offset"]))
    rarest = max(min(record["tail_probability"] for record in records), 1e-300)
    told = first["contributions"]
    field = max(told, key=told.__getitem__, default=None)
    actual, expected = (first[of].get(field) for of in ("actual", "expected"))
    known = isinstance(actual, int | float) and expected is not None
    try:
        message = Feedback(
            alert_id=first["alert_id"], entity=first["entity"], kind=first["kind"], field=field, tail_probability=rarest,
            effect=abs(actual - expected) if known else None, verdict=verdict, until=until, by=by, why=why,
            agreed=tuple(first["agreed"]), disagreed=tuple(first["disagreed"]), source=place,
        )  # fmt: skip
    except ValueError as error:
        raise InputError(str(error).split("Value error, ")[-1].split(" [")[0]) from error
    send_feedback(kafka, message)
    return message


def heard(kafka: KafkaSettings, since: int = 0) -> list[Feedback]:
    """The newest word of each person for each alert, of those that were said since a time in milliseconds."""
    known = Heard()
    for _, text in read_compacted(kafka, kafka.topics.feedback, since):
        try:
            known.take(parse_feedback(text))
        except SettingsError:
            continue  # the job has put it on the dead-letter topic
    return list(known.newest.values())


def votes(words: Iterable[Feedback]) -> dict[str, int]:
    """By alert: how many more people found it true than false; who ignores it does not vote."""
    found: dict[str, int] = {}
    for word in words:
        if word.verdict != "ignore":
            found[word.alert_id] = found.get(word.alert_id, 0) + (1 if word.verdict == "true" else -1)
    return found


def confirmed(kafka: KafkaSettings) -> list[Stretch]:
    """Where the events lie of alerts that somebody found true."""
    true = (message for message in heard(kafka) if message.verdict == "true")
    return [Stretch(message.entity, message.source) for message in true if message.source is not None]
