"""A job goes on from the state of an earlier release.

0.1.0 (`v1`) had other detectors: they begin anew, and everything else is kept. State of later releases gives the results that the
release itself would have given.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamgauge.udfs.entities.columns import CONFIG, HISTORY, OPENED_OFFSET, OPENED_PARTITION, SEEN, SLOT, STATUS
from streamgauge.udfs.output.alert import alert_id

from tests.state.make_fixtures import (
    BATCH,
    OUTPUTS,
    arithmetic,
    digest,
    finish,
    lines,
    make,
    manifest_of,
    read,
    restored,
    resume,
)
from tests.state.saved_streams import REGISTRY, STREAMS

FOLDER = Path(__file__).resolve().parents[2] / "state"
OTHER_DETECTORS = sorted(FOLDER.glob("v1/*.zip"))
SAME_DETECTORS = sorted(set(FOLDER.glob("*/*.zip")) - set(OTHER_DETECTORS))  # none before the release that is `v2`


def alike(one: Any, other: Any) -> bool:
    """Whether two values of JSON are equal, keys in the same order, numbers to nine digits."""
    if type(one) is not type(other):
        return False
    match one:
        case float():
            return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
        case list():
            return len(one) == len(other) and all(map(alike, one, other))
        case dict():
            return alike([*one.keys(), *one.values()], [*other.keys(), *other.values()])
    return bool(one == other)


def parsed(line: str) -> list[Any]:
    """One record of the results: output, key and content."""
    name, key, text = json.loads(line)
    return [name, key, json.loads(text)]


def contents(records, output):
    """Contents of the records of one output."""
    return [content for name, _, content in records if name == output]


def all_stages(run):
    """Number of the partition, and stages: those of its events, and of its windows."""
    return [(n, stages) for n, partition in run.shard.partitions.items() for stages in partition.all_stages]


def open_incidents(run):
    """Ids of the alerts of all incidents that are open."""
    ids = set()
    for _, stages in all_stages(run):
        entities = stages.entities
        for name, row in entities.store.index.items():
            head = entities.store.head[row]
            if head[STATUS]:
                entity = entities.situations.of(name)[0] if entities.situations else name
                opened = (int(head[column]) for column in (OPENED_PARTITION, OPENED_OFFSET))
                ids.add(alert_id(entity, int(head[CONFIG]), stages.origin.topic, *opened))
    return ids


def events_of(run):
    """Number of events by partition, windows and entity."""
    return {
        (number, stages.window, name): int(stages.entities.store.head[row, SEEN])
        for number, stages in all_stages(run)
        for name, row in stages.entities.store.index.items()
    }


def is_silence(alert):
    """Whether an alert is about an entity that sends no more events."""
    return "silence" in alert["data"]["detectors"]


def test_the_fixtures_of_the_first_release_are_there():
    assert len(OTHER_DETECTORS) == 14


@pytest.fixture(params=OTHER_DETECTORS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def fixture(request, monkeypatch):
    """A fixture of 0.1.0, the run that goes on from it, and what was open before."""
    monkeypatch.chdir(request.param.parent)  # the registry is named from there
    manifest, saved, rest, expected = read(request.param)
    run = restored(manifest, saved)
    opened, events = open_incidents(run), events_of(run)
    return [parsed(line) for line in expected], finish(run, manifest, rest), opened, events


def test_other_detectors_begin_anew_and_all_else_goes_on(fixture):
    expected, run, opened, events = fixture
    got = [parsed(line) for line in lines(run)]

    def places(records):
        return [(score["partition"], score["offset"], score["entity"]) for score in contents(records, "scores")]

    # each event is scored, late, or a dead letter, as in the release
    assert places(got) == places(expected)
    assert contents(got, "dead") == contents(expected, "dead")
    assert contents(got, "late") == contents(expected, "late")
    # entities keep their counts
    shown, shown_then = ([n for n in contents(r, "notices") if "entity." in n["type"]] for r in (got, expected))
    counts = [[(n["subject"], n["data"]["events"], n["data"]["last_event"]) for n in r] for r in (shown, shown_then)]
    assert counts[0] == counts[1]
    assert all(events_of(run)[entity] >= n for entity, n in events.items())
    # the schema is kept: the changes that are announced are those of the release
    assert [n for n in contents(got, "notices") if "schema." in n["type"] and "untimed" not in n["type"]] == [
        n for n in contents(expected, "notices") if "schema." in n["type"] and "untimed" not in n["type"]
    ]
    # a notice says once for each source of events what happened
    restarts = [n["data"] for n in contents(got, "notices") if n["type"] == "io.streamgauge.detectors.restarted"]
    assert Counter((n["partition"], n.get("windows", "")) for n in restarts) == Counter(
        {(number, window): 1 for number, window, _ in events}
    )
    assert all("begin anew (" in n["message"] and n["before"] and n["now"] for n in restarts)
    # silences are found as before; those that were open then have an id that does not depend on the detectors any more
    silences, silences_then = (list(filter(is_silence, contents(r, "alerts"))) for r in (got, expected))
    assert [(s["subject"], s["data"]["state"], s["data"]["window"]) for s in silences] == [
        (s["subject"], s["data"]["state"], s["data"]["window"]) for s in silences_then
    ]
    # incidents that were open end under their id, once
    ended = Counter()
    for alert in contents(got, "alerts"):
        identity, state = alert["data"]["alert_id"], alert["data"]["state"]
        if is_silence(alert):
            continue
        if state == "opened":
            assert identity not in opened
            opened.add(identity)
        else:
            assert identity in opened
        if state in ("resolved", "retracted"):  # late events can retract an incident that has ended
            ended[identity, state] += 1
    assert max(ended.values(), default=0) <= 1
    assert opened - {identity for identity, _ in ended} == open_incidents(run)


@pytest.mark.parametrize("path", OTHER_DETECTORS, ids=lambda path: path.stem)
def test_resuming_after_an_upgrade_equals_never_having_stopped(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    manifest, saved, rest, _ = read(path)
    whole, before = restored(manifest, saved), restored(manifest, saved)
    half = len(rest) // 2 // BATCH * BATCH
    first, second = rest.take(np.arange(half)), rest.take(np.arange(half, len(rest)))
    for run in (whole, before):
        run.feed(first, range(0, half, BATCH))
    after = finish(restored(manifest, before.saved), manifest, second)
    finish(whole, manifest, second)
    assert sorted(lines(before) + lines(after)) == sorted(lines(whole))
    assert digest(after.saved) == digest(whole.saved)


def test_an_upgrade_ends_the_quarantine_and_empties_the_rich_tier(monkeypatch):
    path = FOLDER / "v1" / "open_incident.zip"
    monkeypatch.chdir(path.parent)
    manifest, saved, _, _ = read(path)
    run = restored(manifest, saved)
    for _, stages in all_stages(run):
        head = stages.entities.store.head
        assert (head[:, STATUS] > 0).any()
        assert not head[:, [SLOT, HISTORY]].any()
        assert not stages.entities.store.fields.any()
        assert not stages.entities.points.of
        assert len(stages.entities.rich) == 0


@pytest.mark.parametrize("path", SAME_DETECTORS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_rest_of_a_stream_gives_the_results_of_the_release(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    manifest, saved, rest, expected = read(path)
    run = resume(manifest, saved, rest)
    got = lines(run)
    if arithmetic() == manifest["arithmetic"]:
        assert got == expected
        assert digest(run.saved) == manifest["digest_after"]
    else:  # this processor rounds the last digits differently from the one that made the fixture
        differ = [pair for pair in zip(got, expected, strict=True) if not alike(*map(parsed, pair))]
        assert differ == []


@pytest.mark.parametrize("name", STREAMS)
def test_the_streams_of_the_next_fixtures_go_on_from_the_state_of_this_code(name, monkeypatch):
    monkeypatch.chdir(FOLDER / "v1")
    assert Path(REGISTRY).is_dir()
    stream = STREAMS[name]()
    run, said = make(stream)
    rest = stream.raw.take(np.arange(stream.stop, len(stream.raw)))
    manifest = manifest_of(stream, said, run.saved)
    after = resume(manifest, run.saved, rest)
    for output in OUTPUTS:
        getattr(run, output).clear()
    finish(run, manifest, rest)
    assert sorted(lines(after)) == sorted(lines(run))
    assert after.shard.canonical() == run.shard.canonical()
