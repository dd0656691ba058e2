"""The streams of the fixtures: what a release scores before its state is saved, and what it scores afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.settings.detectors import DetectorSettings
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.streams import START, Run, batch

MINUTE = 60_000
REGISTRY = "registry"  # beside the fixtures; a path from there, because the ids of alerts depend on it
CONTROL, FEEDBACK = "control", "feedback"
LOOK = 200  # events from one decision about the kind of a stream to the next


@dataclass
class Message:
    """What is said while the stream runs.

    Attributes
    ----------
    at : int
        Before which event of the stream.
    topic : str
        `CONTROL` or `FEEDBACK`.
    text : dict, or a function of the run so far that returns one
    """

    at: int
    topic: str
    text: dict[str, Any] | Callable[[Run], dict[str, Any]]


@dataclass
class Stream:
    """A stream, and where the release stopped in it.

    Attributes
    ----------
    settings : dict
        By section, over those of `tests.streams.SMALL`.
    raw : RawBatch
    stop : int
        Events before the state was saved.
    messages : list of Message
        Before `stop`.
    shown : list of str
        Entities about which the job is asked at the end.
    quiet : int
        Milliseconds that pass at the end without an event.
    """

    settings: dict[str, Any]
    raw: RawBatch
    stop: int
    messages: list[Message] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    quiet: int = 0


def records(events: list[Any], stamps: Any = None, partitions: int = 1) -> RawBatch:
    """Events of entities that each have a partition; bytes go to the first one."""
    raw = batch(events, stamps=stamps)
    names = sorted({event["entity"] for event in events if isinstance(event, dict)})
    places = [names.index(event["entity"]) % partitions if isinstance(event, dict) else 0 for event in events]
    raw.partitions = np.array(places, dtype=np.int64)
    for p in range(partitions):
        mine = raw.partitions == p
        raw.offsets[mine] = np.arange(mine.sum())
    return raw


def plain(n: int, fields: int, seed: int = 0, entities: int = 5) -> list[Any]:
    """Independent values with spikes; missing fields, texts and dead letters."""
    random = np.random.default_rng(seed)
    events: list[Any] = []
    for i in range(n):
        event: dict[str, Any] = {"entity": f"e{random.integers(entities)}"}
        for f in range(fields):
            if fields == 1 or random.random() < 0.95:
                event[f"f{f}"] = round(float(random.normal(10 * f, 1 + f)), 3)
        if fields > 1:
            event["country"] = str(random.choice(["de", "fr", "pt"]))
            if i > n // 3:
                event["later"] = round(float(random.normal()), 3)
        if random.random() < 0.03:
            event["f0"] = float(random.choice([-1, 1]) * 10.0 ** random.integers(2, 6))
        events.append(b"{broken" if random.random() < 0.01 else event)
    return events


def waves(n: int, seed: int = 0, entities: int = 4) -> tuple[list[Any], Any]:
    """Events and times: two fields in order, that follow the hour and each other; some spikes."""
    random = np.random.default_rng(seed)
    stamps = START + np.arange(n) // entities * 10 * MINUTE
    hours = (stamps - START) / (60 * MINUTE)
    together = np.cumsum(random.normal(size=n)) / 10
    load = 50 + 10 * np.sin(2 * np.pi * hours / 24) + random.normal(size=n)
    flow = 5 + np.sin(together) + 0.1 * random.normal(size=n)
    load[random.random(n) < 0.02] *= 4
    rows = zip(load.round(3).tolist(), flow.round(3).tolist(), strict=True)
    return [{"entity": f"e{i % entities}", "load": x, "flow": y} for i, (x, y) in enumerate(rows)], stamps


def series() -> Stream:
    """One field, two partitions, entities of the rich and of the light tier, late events."""
    events = plain(700, 1, seed=1, entities=8)
    for i in (200, 450, 500, 600):
        events[i] = {"entity": "e1", "f0": 10.0, "ts": START - 3 * 86_400_000}
    return Stream(
        {"entity": {"rich_memory": 0.025}, "track": 2 * LOOK},
        records(events, partitions=2),
        400,
        shown=["e0", "e1", "e5"],
    )


def many_fields() -> Stream:
    """Several fields without order; a field comes, texts, dead letters; an incident is open when the state is saved."""
    events = plain(700, 3, seed=2)
    for i, event in enumerate(events):
        if isinstance(event, dict) and ((event["entity"] == "e2" and 330 < i < 380) or i in (500, 610)):
            event |= {"f1": 400.0 + i % 7, "f2": -300.0}
    return Stream({"decide": {"quiet_events": 10}}, records(events), 350, shown=["e2"])


def ordered_fields() -> Stream:
    """Several fields in order, with the seasonal detectors of that kind."""
    events, stamps = waves(900, seed=3)
    return Stream({"track": LOOK}, records(events, stamps), 550, shown=["e3"])


def defaults() -> Stream:
    """A series under the settings that nobody changed, but for the scores and a warm-up that short streams get over."""
    chosen = PipelineSettings().model_dump(mode="json")
    chosen["decide"] |= {"threshold": 0.02}
    chosen["output"] |= {"scores": "all"}
    return Stream(chosen, records(plain(600, 1, seed=4, entities=2)), 400)


def every_detector() -> Stream:
    """Each detector there is, on each kind of stream."""
    names = set(DetectorSettings.model_fields)
    kinds = {"streams": ["series", "fields", "records"]}
    small = {
        "half_space_trees": {"n_trees": 4, "height": 4, "window_size": 40},
        "river_half_space_trees": {"n_trees": 3, "height": 3, "window_size": 40},
        "online_isolation_forest": {"n_trees": 4, "part": 16, "reservoir": 64},
        "loda": {"projections": 6},
        "value_novelty": {"centroids": 8, "warmup": 10},
        "shape_dictionary": {"samples": 8, "shapes": 8, "warmup": 20},
        "first_seen_category": {"bits": 1 << 10},
        "slow_drift": {"span": 20, "warmup": 100},
    }
    small |= {
        name: {"window": 10, "warmup": 5} for name in ("modified_z_score", "interquartile_range", "grubbs", "dixon_q")
    }
    return Stream(
        {"detectors": {name: small.get(name, {}) | kinds for name in sorted(names)}, "entity": {"rich_memory": 4}},
        records(plain(500, 2, seed=5, entities=2)),
        300,
        shown=["e1"],
    )


def windowed(every: str, **more: Any) -> Stream:
    """Windows of event time: a burst, and events of windows that were reported which come after the state was saved."""
    random = np.random.default_rng(6)
    begin, events, arrivals = START // MINUTE * MINUTE, [], []
    minutes_late = {("pump", 37): 4.6, ("fan", 39): 3, ("pump", 44): 3, ("pump", 46): 9}
    for t in range(0, 60 * MINUTE, 10_000):
        minute = t // MINUTE
        for entity in ("fan", "pump"):
            for k in range(8 if (entity, minute) in (("fan", 39), ("pump", 52)) else 1):
                moment = begin + t + 900 * k + int(random.integers(500))
                # of some minutes, half or nearly all comes later, of another one too late
                some = t % MINUTE > 0 if minute == 37 else k % 2 == t // 10_000 % 2
                behind = minutes_late.get((entity, minute), 0) if some else 0
                arrivals.append(moment + int(behind * MINUTE))
                events.append({"entity": entity, "x": round(10.0 + float(random.normal()), 2), "ts": moment})
    order = np.argsort(arrivals, kind="stable").tolist()
    stamps = np.array(arrivals)[order]
    chosen = {
        "event": {"out_of_order": "10 s", "amend_within": "5 m"},
        "windows": {"minute": {"size": "1 m", "every": every, "aggregates": {"x": ["sum", "max", "p90", "distinct"]}}},
        "decide": more,
    }
    stop = int(np.searchsorted(stamps, begin + 41 * MINUTE + 30_000))
    return Stream(chosen, records([events[i] for i in order], stamps), stop, quiet=90_000)


def journeys(context: tuple[str, ...]) -> Stream:
    """Cards that send once a minute at home and abroad; one is silent when the state is saved, one falls silent later."""
    random = np.random.default_rng(7)
    events, stamps = [], []
    for minute in range(180):
        for card, silent in (("kept", ()), ("lost", range(100, 140)), ("gone", range(150, 180))):
            if minute in silent:
                continue
            away = minute // 30 % 2 == 1
            amount = float(random.normal(500, 20) if away else random.normal(50, 5)) * (9 if minute % 41 == 40 else 1)
            events.append(
                {"entity": card, "amount": round(amount, 2), "hops": round(float(random.normal(3)), 2), "away": away}
            )
            stamps.append(START + minute * MINUTE)
    chosen = {"event": {"context": list(context)}, "silence": {"after": 3, "at_least": "1 m", "events": 20}}
    return Stream(chosen, records(events, np.array(stamps)), 350, shown=["lost"], quiet=30 * MINUTE)


def promised() -> Stream:
    """A promise of false incidents that gives the threshold, over two partitions."""
    events = plain(1500, 1, seed=8)
    return Stream(
        {"decide": {"promise": "400 per day", "threshold": None}},
        records(events, START + 30_000 * np.arange(1500), partitions=2),
        1000,
    )


def incident(**more: Any) -> Stream:
    """An incident of which events are quarantined when the state is saved; rules, maintenance, k of n, effects, importance."""
    random = np.random.default_rng(9)
    events: list[Any] = []
    for i in range(600):
        x, y = (float(v) for v in random.normal(100, 1, 2))
        if i % 2 and 300 <= i < 500:
            x += 30 * float(random.normal())
        if i in (130, 410, 460):
            y = -1.0
        if not i % 2 and 420 <= i < 470:
            x += 80.0
        if not i % 2 and i in (520, 524, 528):
            x += 60.0
        events.append({"entity": "pump" if i % 2 else "fan", "x": round(x, 2), "y": round(y, 2)})
    decide = {
        "rules": [{"id": "negative", "when": "y < 0 && x > 0", "severity": "critical"}],
        "maintenance": [
            {"entities": "fa*", "start": "2025-10-09T08:59:00Z", "end": "2025-10-09T09:01:30Z", "why": "belt"}
        ],
        "fields": {"x": {"direction": "above", "absolute": 2.0}},
        "importance": {"pu*": 1},
        "quiet_events": 60,
        "threshold": 1e-3,
    }
    return Stream({"decide": decide | more, "entity": {"quarantine": 60}}, records(events), 340, shown=["pump", "fan"])


def spoken() -> Stream:
    """Everything that the control topic and the feedback topic can say, but for trained models."""
    stream = incident()
    stream.settings["detectors"] = {"half_space_trees": {"streams": ["series", "fields", "records"], "window_size": 40}}
    stream.settings["detectors"] |= {
        "histogram_density": {},
        "rolling_z_score": {"warmup": 5, "streams": ["series", "records"]},
    }

    def false(run: Run) -> dict[str, Any]:
        alert = json.loads(run.alerts[-1][1])["data"]
        word = {key: alert[key] for key in ("alert_id", "entity", "kind", "tail_probability", "agreed", "disagreed")}
        return word | {"verdict": "false", "by": "ann", "field": next(iter(alert["contributions"]), None)}

    def entity(name: str, action: str) -> dict[str, Any]:
        return {"type": "entity", "entity": name, "action": action, "id": f"{action} {name}"}

    forest = {"n_trees": 3, "height": 3, "window_size": 30}
    rule = {"id": "large", "when": "x > 150", "severity": "low"}
    span = {"entities": "pump", "start": "2025-10-09T09:01:30Z", "end": "2025-10-09T09:01:50Z"}
    said = [
        (150, {"type": "weights", "weights": {"half_space_trees": 3}}),
        (160, {"type": "detector", "detector": "half_space_trees", "version": "7", "settings": forest}),
        (170, {"type": "threshold", "value": 0.005}),
        (175, {"type": "rules", "rules": [rule]}),
        (180, {"type": "maintenance", "windows": [span]}),
        (190, {"type": "trial", "a": 0.005, "b": 0.0005}),
        (335, entity("pump", "release")),
        (336, entity("fan", "forget")),
    ]
    stream.messages = [Message(at, CONTROL, text) for at, text in said] + [Message(320, FEEDBACK, false)]
    return stream


def rewound() -> Stream:
    """An entity that was taken back to before an incident, and another incident with a rewind point."""
    stream = incident(quiet_events=10)
    message = {"type": "entity", "entity": "pump", "action": "rewind", "id": "rewind pump"}
    stream.messages = [Message(400, CONTROL, message)]
    stream.stop = 440
    return stream


def trained() -> Stream:
    """A trained model that is swapped, its shadow as a canary, drift that is under way, and a comparison of both."""
    random = np.random.default_rng(10)
    events = [
        {
            "entity": f"e{i % 6}",
            "a": round(float(random.normal()), 3),
            "b": round(float(random.normal(2.5 if i > 350 else 0)), 3),
        }
        for i in range(1100)
    ]
    for i in range(50, 1100, 70):
        events[i]["a"] = 9.0
    chosen = {
        "models": {"registry": REGISTRY, "history": 4, "use": {"forest": {}}},
        "drift": {"every": 100, "spans": 3, "rest": 1},
        "track": LOOK,
    }
    said = [
        (150, {"type": "model", "model": "forest", "version": 2}),
        (200, {"type": "model", "model": "forest", "role": "shadow", "version": 1, "share": 0.5}),
    ]
    return Stream(chosen, records(events), 650, [Message(at, CONTROL, text) for at, text in said], ["e1"])


STREAMS: dict[str, Callable[[], Stream]] = {
    "series": series,
    "many_fields": many_fields,
    "ordered_fields": ordered_fields,
    "defaults": defaults,
    "every_detector": every_detector,
    "windows_tumbling": lambda: windowed("1 m"),
    "windows_sliding": lambda: windowed("20 s", promise="3000 per day", threshold=None),
    "situations_and_silence": lambda: journeys(("away",)),
    "silence": lambda: journeys(()),
    "promise": promised,
    "open_incident": incident,
    "control_and_feedback": spoken,
    "rewound": rewound,
    "trained_models": trained,
}
