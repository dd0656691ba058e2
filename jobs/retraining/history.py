"""What a candidate is trained on: the events since the drift began, without those that do not show usual behaviour."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from kafka import KafkaConsumer, TopicPartition
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.feedback import confirmed
from streamgauge.jobs.kafka.follow import not_learned
from streamgauge.jobs.kafka.read_range import read_range
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.train import past_of_topic
from streamgauge.models.errors import InputError
from streamgauge.models.persistence.manifest import Manifest
from streamgauge.models.persistence.unfinished import Unfinished
from streamgauge.models.training.candidate import Past
from streamgauge.models.training.contamination import Examined, examine
from streamgauge.udfs.events.time import epoch_milliseconds


class _Chosen(msgspec.Struct):
    """The offsets that are read to answer a request, by partition: the first, and the one after the last."""

    request: str
    ranges: dict[int, tuple[int, int]]


def past_since_drift(
    settings: Settings, request: dict[str, Any], stop: threading.Event, unfinished: Unfinished
) -> Past:
    """Events of all partitions of the topic since the drift began, as soon as there are enough, or when `retrain.wait` is over.

    After an interruption they are the same again, so that a training can be continued.

    Parameters
    ----------
    settings : Settings
    request : dict
        Data of the request to retrain.
    stop : Event
        Ends the waiting.
    unfinished : Unfinished
        Where the choice of events is saved.

    Raises
    ------
    SystemExit
        The waiting was ended.
    InputError
        The events since the drift began are no longer on the topic.
    ClusterError
        The broker does not answer.
    """
    gates = settings.retrain
    deadline = time.monotonic() + gates.wait / 1000
    chosen = _chosen_before(request, unfinished)
    while True:
        ranges, began = _ranges(settings, request)
        rows = sum(end - begin for begin, end in ranges.values())
        if chosen is None and (rows >= gates.least or time.monotonic() > deadline):
            share = min(1.0, gates.most / max(rows, 1))
            chosen = {p: (end - int((end - begin) * share), end) for p, (begin, end) in ranges.items()}
            unfinished.keep(msgspec.json.encode(_Chosen(request["request"], chosen)))
        if chosen is not None:
            quarantined = not_learned(settings.kafka, min(began, epoch_milliseconds(request["since"])))
            return past_of_topic(
                settings, request["topic"], chosen, confirmed=confirmed(settings), quarantined=quarantined
            )
        if stop.wait(1.0):
            raise SystemExit


def _chosen_before(request: dict[str, Any], unfinished: Unfinished) -> dict[int, tuple[int, int]] | None:
    """The offsets that were chosen for a request before an interruption; None if there were none."""
    kept = unfinished.kept()
    try:
        chosen = None if kept is None else msgspec.json.decode(kept, type=_Chosen)
    except msgspec.MsgspecError as error:
        unfinished.tell(f"begins anew: its saved state is damaged: {error}")
        return None
    return chosen.ranges if chosen and chosen.request == request["request"] else None


def _ranges(settings: Settings, request: dict[str, Any]) -> tuple[dict[int, tuple[int, int]], int]:
    """By partition of the topic that has drifted: the first offset since the drift began, and the offset after the last event.

    Also when the drift began, as Kafka's timestamp. The time in a request that follows feedback is that of the feedback, which is later.
    """
    topic = request["topic"]
    [(partition, (first, _))] = request["offsets"].items()
    with clients.consumer(settings.kafka, f"read {topic!r}") as consumer:
        places = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
        asking = TopicPartition(topic, int(partition))  # the partition whose data have drifted
        began = epoch_milliseconds(request["since"])
        if asking.partition >= 0:  # else it is a shard of entities, whose offsets are of several partitions
            began = _timestamp(consumer, asking, first)
        since = consumer.offsets_for_times(dict.fromkeys(places, began))
        ends = consumer.end_offsets(places)
    begins = {p: ends[p] if since[p] is None else since[p].offset for p in places}
    if asking in begins:
        begins[asking] = max(begins[asking], first)
    return {p.partition: (begins[p], ends[p]) for p in places if begins[p] < ends[p]}, began


def _timestamp(consumer: KafkaConsumer, place: TopicPartition, offset: int) -> int:
    """The timestamp of the first record from an offset on."""
    begin, end = (of([place])[place] for of in (consumer.beginning_offsets, consumer.end_offsets))
    found = next((r for part in read_range(consumer, place, max(offset, begin), end) for r in part), None)
    if found is None:
        raise InputError(
            f"partition {place.partition} of {place.topic!r} has no record since the drift began at offset {offset}: "
            "the topic's retention is too short, or it was made anew"
        )
    return int(found.timestamp)


def examined(past: Past, old: Manifest) -> tuple[Past, Examined]:
    """Leave out the events that a model must not be trained on (`models.training.contamination`).

    Parameters
    ----------
    past : Past
    old : Manifest
        Manifest of the live version. What was usual in its data is not left out.

    Returns
    -------
    Past
        The events that are kept, with a note about those that were left out.
    Examined
        The figures behind it.
    """
    at = {name: k for k, name in enumerate(old.features)}
    low, high = (
        np.array(
            [np.nan if name not in at or edge[at[name]] is None else edge[at[name]] for name in past.features], float
        )
        for edge in (old.history.low, old.history.high)
    )
    found = examine(past.X, past.groups, low, high)
    notes = [past.left_out] * bool(past.left_out)
    notes += [f"{found.crowded:.1%} of entities that send most"] * bool(found.crowded)
    notes += [f"{found.far:.1%} far from the rest"] * bool(found.far)
    kept = replace(past, X=past.X[found.kept], groups=past.groups[found.kept], left_out="; ".join(notes))
    return kept, found
