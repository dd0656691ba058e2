"""Requests about an entity: show, forget, release, rewind; each is done once, and gives the same state after a restart."""

from __future__ import annotations

import json

import numpy as np
import pytest
from streamgauge.udfs.control.messages import EntityAction
from streamgauge.udfs.entities.rewind_points import MOST

from tests.streams import SMALL, START, Run, batch
from tests.udfs.pipeline.test_quarantine import EVERY, VARIANCE, number, settings, usual

SETTINGS = settings(quarantine=50, quiet_events=1000)


def stream(values, start=0, entity="e"):
    stamps = START + EVERY * np.arange(start, start + len(values))
    return batch([{"entity": entity, "x": float(v)} for v in values], offset=start, stamps=stamps)


def do(run, action, offset=0, entity="e"):
    """Send a request, and return the answers."""
    message = EntityAction(type="entity", entity=entity, action=action, id=f"r{offset}")
    result = run.shard.act(message, offset)
    return [json.loads(text)["data"] for _, text in result.notices]


def suspicious(n=120):
    """A job whose entity has had an incident of `n` events: up to 50 of them are quarantined, and the later ones learned."""
    noise = 100 + 30 * np.random.default_rng(1).normal(size=n)
    return Run(SETTINGS).feed(stream(np.concatenate((usual(), noise))))


def test_show_answers_with_what_is_known():
    [answer] = do(suspicious(40), "show")
    assert (answer["entity"], answer["events"], answer["tier"], answer["done"]) == ("e", 640, "rich", True)
    assert (answer["held_back"], bool(answer["incident"]), bool(answer["rewind_to"])) == (True, True, True)
    field = answer["fields"]["x"]
    assert field["usual"] == pytest.approx(100, abs=2)
    assert field["from"] < 98
    assert field["to"] > 102
    assert answer["request"] == "r0"


def test_a_request_about_an_unknown_entity_has_no_answer():
    assert do(suspicious(0), "show", entity="nobody") == []


def test_a_forgotten_entity_starts_from_the_beginning_also_after_a_restart():
    run = suspicious()
    [answer] = do(run, "forget")
    assert answer["events"] == 720
    run.feed(stream([5.0, 6.0], 720))
    restored = Run(SETTINGS, run.saved)
    assert restored.shard.canonical() == run.shard.canonical()
    [again] = do(restored, "show", 1)
    assert (again["events"], again["incident"], again["fields"]["x"]["last"]) == (2, None, 6.0)


def test_a_rewound_entity_has_its_state_from_before_the_incident():
    before, run = Run(SETTINGS).feed(stream(usual())), suspicious(400)
    moved = number(run, VARIANCE) - number(before, VARIANCE)
    [answer] = do(run, "rewind")
    assert answer["done"]
    assert 0 < number(run, VARIANCE) - number(before, VARIANCE) < moved / 5
    [again] = do(run, "show", 1)
    assert (again["incident"], again["held_back"], again["rewind_to"]) == (None, False, None)
    [twice] = do(run, "rewind", 2)
    assert (twice["done"], twice["why"]) == (False, "no event of this entity was quarantined lately")
    run.feed(stream(usual(30, 3), 1000))
    restored = Run(SETTINGS, run.saved)
    assert restored.shard.canonical() == run.shard.canonical()


def test_the_events_of_a_released_entity_are_learned():
    run = suspicious(40)
    do(run, "release")
    before = run.counts["held_back"]
    run.feed(stream(100 + 30 * np.random.default_rng(2).normal(size=40), 640))
    assert run.counts["held_back"] == before


def test_each_request_is_done_once_also_after_a_restart():
    run = suspicious()
    do(run, "forget", offset=7)
    run.feed(stream([1.0], 720))
    restored = Run(SETTINGS, run.saved)
    assert do(restored, "forget", offset=7) == []
    assert len(do(restored, "forget", offset=8)) == 1


@pytest.mark.parametrize("context", [(), ("mode",)])
def test_a_request_that_is_done_again_after_a_restart_gives_the_same_answers(context):
    chosen = SMALL.model_copy(update={"event": SMALL.event.model_copy(update={"context": context})})
    run = Run(chosen)
    for first in (0, *[400] * 5):  # the rows of the first entities come last in the saved state
        values = [{"entity": f"e{k}", "x": 1.0, "mode": m} for m in ("up", "down") for k in range(first, 800)]
        run.feed(batch(values))
    restored, message = Run(chosen, run.saved), EntityAction(type="entity", entity="e3", action="show", id="r")
    answers = run.shard.act(message, 0).notices
    assert len(answers) == 1 + len(context)
    assert restored.shard.act(message, 0).notices == answers


def test_only_the_newest_rewind_points_are_kept():
    run = suspicious()
    points = run.shard.partitions[0].stages.entities.points
    for k in range(MOST + 5):
        points.keep(f"n{k}", k, np.zeros((1, 2)), np.zeros((0, 2)))
    assert len(points.of) == MOST
    assert "e" not in points.of
    assert next(iter(points.of)) == "n5"
