"""Records other than alerts: changes of the schema, and scores."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.events.records import WHOLE, Remark, SchemaChange, with_place
from streamgauge.udfs.output.alert import score_of
from streamgauge.udfs.output.cloud_event import Origin
from streamgauge.udfs.output.limits import cut_text, encode, key_of
from streamgauge.udfs.scoring.scorer import Scored
from streamgauge.udfs.settings.pipeline import OutputSettings


def schema_notice(change: SchemaChange | Remark, origin: Origin, time: int) -> tuple[str, bytes]:
    """Write a notice of a change of the schema.

    Its id is the same on every partition that sees the change, so that readers can drop the repeats.

    Parameters
    ----------
    change : SchemaChange or Remark
    origin : Origin
    time : int
        Time of the event that brought the change, milliseconds.

    Returns
    -------
    (str, bytes)
        Key (the field) and JSON of a CloudEvent.
    """
    text = f"{origin.topic}\0{change.change}\0{change.text}"
    identity = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
    data = {
        "change": change.change,
        "field": cut_text(change.field),
        "message": cut_text(change.text),
        "topic": origin.topic,
        "partition": origin.partition,
    }
    return key_of(change.field), origin.event(identity, f"schema.{change.change}", change.field, time, data)


def score_records(stretch: Stretch, scored: Scored, topic: str, output: OutputSettings) -> list[tuple[str, bytes]]:
    """Write the scores of a stretch: of all events, of a sample, or of none, as the settings say.

    An event that could not be judged has no score, which is not the same as the score 0: ``score``, ``tail_probability`` and ``interval``
    are null, and ``unjudged`` is true. Other records do not have the key ``unjudged``.

    Parameters
    ----------
    stretch : Stretch
    scored : Scored
    topic : str
        Topic of the events.
    output : OutputSettings

    Returns
    -------
    list of (str, bytes)
        Entity (the key) and JSON.
    """
    if output.scores == "none":
        return []
    numbers = with_place(stretch.offsets, stretch.events.places)
    places = zip(stretch.partitions.tolist(), numbers.tolist(), strict=True)
    return [
        _score_record(stretch, i, scored, topic)
        for i, (partition, offset) in enumerate(places)
        if output.scores == "all" or sampled(partition, offset, output.sample)
    ]


def _score_record(stretch: Stretch, i: int, scored: Scored, topic: str) -> tuple[str, bytes]:
    """Entity (the key) and JSON of the scores of the event at place `i`."""
    verdicts, entity = scored.verdicts, stretch.events.entities[i]
    evidence = float(verdicts.evidence[i])
    members = zip(scored.opinions.names, verdicts.members[i].tolist(), strict=True)
    record: dict[str, Any] = {
        "topic": topic,
        "partition": int(stretch.partitions[i]),
        "offset": int(stretch.offsets[i]),
        "entity": entity,
        "time": int(stretch.events.times[i]),
        "score": score_of(evidence),
        "tail_probability": math.exp(-evidence),
        "disagreement": round(float(verdicts.disagreement[i]), 4),
        "interval": [score_of(float(edge)) for edge in verdicts.interval[i]],
        "detectors": {name: math.exp(-e) for name, e in members if not math.isnan(e)},
    }
    if stretch.events.places[i] != WHOLE:
        record["place"] = int(stretch.events.places[i])
    if math.isnan(verdicts.joined[i]):
        record |= {"score": None, "tail_probability": None, "interval": None, "unjudged": True}
    return entity, encode(record)


def sampled(partition: int, offset: int, share: float) -> bool:
    """Whether an event belongs to the sample. A replay has the same sample, since the place of the event alone decides.

    Parameters
    ----------
    partition, offset : int
        Place of the event; `with_place` if its record holds several.
    share : float
        Size of the sample, 0 to 1.
    """
    mixed = (offset * 0x9E3779B97F4A7C15 + partition * 0xC2B2AE3D27D4EB4F) & 0xFFFFFFFFFFFFFFFF
    mixed ^= mixed >> 31
    return (mixed * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF) < share * 2.0**64
