"""Prometheus's remote write as JSON, and what prometheus-kafka-adapter makes of it."""

from __future__ import annotations

from typing import Any

from streamgauge.udfs.events.formats.merger import Merger
from streamgauge.udfs.events.formats.record import Record, bad_value, integer, number, objects

NAME = "__name__"
_REQUEST_KEYS = {"timeseries", "metadata"}
_ADAPTER_KEYS = {"timestamp", "value", "name", "labels"}


def fits(document: dict[str, Any]) -> bool:
    """Whether a document is Prometheus's, by its shape alone.

    A write request has the key timeseries, an array whose first item has labels and samples (or histograms), and no other key but
    metadata. The adapter writes the keys timestamp, value, name and labels, and no others, and the labels have a __name__.
    """
    series = document.get("timeseries")
    if isinstance(series, list):
        first = series[0] if series else None
        samples = isinstance(first, dict) and "labels" in first and ("samples" in first or "histograms" in first)
        return samples and document.keys() <= _REQUEST_KEYS
    labels = document.get("labels")
    return document.keys() == _ADAPTER_KEYS and isinstance(labels, dict) and NAME in labels


def accepts(document: dict[str, Any]) -> bool:
    """Whether a document can be read if the settings say that it is Prometheus's."""
    return isinstance(document.get("timeseries"), list) or ("value" in document and "labels" in document)


def read(document: dict[str, Any], record: Record, place: str) -> list[dict[str, Any]]:
    """Read a write request or a message of the adapter.

    Returns
    -------
    list of dict
        Samples with the same labels and time are one event: labels by their own names, and a field for each metric. A value that
        is NaN or infinite is null. Of native histograms, NAME.count and NAME.sum are read.
    """
    merger = Merger(record)
    if "timeseries" not in document:
        _add_adapted(document, merger, place)
        return merger.events()
    for i, series in enumerate(objects(document["timeseries"], f"{place}timeseries")):
        _add_series(series, merger, record, f"{place}timeseries[{i}].")
    return merger.events()


def _add_adapted(document: dict[str, Any], merger: Merger, place: str) -> None:
    labels = _labels(document["labels"], f"{place}labels")
    name = labels.pop(NAME, None) or document.get("name") or "value"
    if not isinstance(name, str):
        raise bad_value(f"{place}name", name, "a text is allowed")
    time = document.get("timestamp")
    if isinstance(time, dict | list | bool):
        raise bad_value(f"{place}timestamp", time, "a number or a text is allowed")
    if document["value"] is not None:
        merger.add({}, labels, (), time, {name: number(document["value"], f"{place}value")})


def _add_series(series: dict[str, Any], merger: Merger, record: Record, place: str) -> None:
    labels = _labels(series.get("labels"), f"{place}labels")
    name = labels.pop(NAME, "value")
    key = frozenset(labels.items())
    for i, sample in enumerate(objects(series.get("samples"), f"{place}samples")):
        where = f"{place}samples[{i}]."
        # Protobuf's JSON leaves out a value that is zero. Null is no value.
        value = sample.get("value", 0)
        if sample and value is not None:
            merger.add({}, labels, key, _time(sample, where), {name: number(value, f"{where}value")})
    histograms = objects(series.get("histograms"), f"{place}histograms")
    names = (record.joined(name, "count"), record.joined(name, "sum")) if histograms else ("", "")
    for i, histogram in enumerate(histograms):
        where = f"{place}histograms[{i}]."
        count_key = next(
            (key for key in ("countInt", "count_int", "countFloat", "count_float") if key in histogram), ""
        )
        count = number(histogram.get(count_key, 0), f"{where}{count_key}")
        total = number(histogram.get("sum", 0), f"{where}sum")
        merger.add({}, labels, key, _time(histogram, where), {names[0]: count, names[1]: total})


def _time(sample: dict[str, Any], place: str) -> int | None:
    time = sample.get("timestamp")
    return None if time is None else integer(time, f"{place}timestamp")


def _labels(labels: Any, place: str) -> dict[str, str]:
    """Labels by name, from an object or from an array of name and value."""
    if isinstance(labels, dict):
        found = dict(labels)
    else:
        found = {}
        for i, label in enumerate(objects(labels, place)):
            name = label.get("name")
            if not isinstance(name, str):
                raise bad_value(f"{place}[{i}].name", name, "a text is allowed")
            found[name] = label.get("value", "")
    for name, value in found.items():
        if not isinstance(value, str):
            raise bad_value(f"{place} {name[:100]!r}", value, "a text is allowed")
    return found
