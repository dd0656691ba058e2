"""Each process of a job is killed at random times under load, with windows, a trained model, feedback and control messages.

Nothing is lost and nothing comes twice: what the job writes is what an undisturbed pipeline gives. `make kills` kills twenty times.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from streamgauge.jobs.kafka.entity_requests import ask
from streamgauge.jobs.kafka.feedback import judge
from streamgauge.jobs.kafka.read_range import raw_batch
from streamgauge.jobs.kafka.topics import ensure
from streamgauge.jobs.settings.loading import as_file, load
from streamgauge.jobs.studies.train import train
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past
from streamgauge.udfs.control.feedback import parse_feedback
from streamgauge.udfs.control.messages import parse
from streamgauge.udfs.pipeline.shard import Shard

from tests.integration.kills import Victims
from tests.integration.live import PARTITIONS, PATIENCE, Live, background, values

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("KILLS", "4"))
SEED = int(os.environ.get("SEED", time.time_ns() % 10**6))
RATE = 200.0
SECOND, HOUR = 1000, 3_600_000
ALWAYS = {"start": "2020-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}
MODEL = "forest"
SECTIONS: dict[str, Any] = {
    "job": {"delivery": "exactly_once"},
    "event": {"late_after": "1 h", "out_of_order": "20 m", "amend_within": "40 m"},
    "windows": {"minutes": {"size": "5 m", "aggregates": {"x": ["mean", "max"]}}},
    "decide": {"threshold": 1e-3, "rules": [{"id": "full", "when": "x > 850 && x < 2000"}]},
    "retrain": {"least": 300, "wait": "1 s"},
}
Record = tuple[str, Any]


class Stream:
    """Events of steady entities a second apart, with spikes; late and unreadable records; and entities that become strange.

    Event time goes faster than the clock and far behind it. So it does not matter how long the job stands still.

    Attributes
    ----------
    others : dict of str to int
        Further entities, and the number of events that each has sent. After the first 40, every eighth is strange. Entities may be
        added while the stream is sent.
    """

    def __init__(self, seed: int) -> None:
        self.others: dict[str, int] = {}
        self.begin = int(time.time() - 5 * 86_400) * 1000
        self._random = np.random.default_rng(seed)
        self._n = 0

    def records(self) -> Iterator[Record]:
        """Keys and payloads, without end."""
        for self._n in itertools.count():
            owner = f"e{self._random.integers(20)}"
            yield owner, self._event(owner, float(self._random.normal(10, 1)) * self._spike())
            if self._n % 97 == 0:
                yield owner, b"{broken"
            if self._n % 131 == 130:
                yield owner, self._event(owner, 10.0) | {"ts": self._now() - 3 * HOUR}
            if self._n % 151 == 0:
                yield owner, None
            if self._n % 5 == 0:
                yield from [self._of_another(name) for name in list(self.others)]

    def _of_another(self, name: str) -> Record:
        self.others[name] += 1
        is_strange = self.others[name] > 40 and self.others[name] % 8 == 0
        return self.strange(name) if is_strange else (name, self._event(name, float(self._random.normal(10, 1))))

    def strange(self, name: str) -> Record:
        """A strange event of an entity. It breaks no rule, because rules heed neither maintenance nor feedback."""
        return name, self._event(name, 5_000.0)

    def close(self) -> list[Record]:
        """Events of all partitions that end the windows so far, and begin one that does not end."""
        later = {"ts": self._now() + 4 * HOUR}
        return [(f"e{k}", self._event(f"e{k}", 10.0) | later) for k in range(20)]

    def _event(self, name: str, x: float) -> dict[str, Any]:
        return {"entity": name, "ts": self._now(), "x": x, "y": float(self._random.normal())}

    def _now(self) -> int:
        return self.begin + self._n * SECOND

    def _spike(self) -> float:
        return float(self._random.choice([-30, 40, 90])) if self._random.random() < 0.01 else 1.0


def data(records: list[Any]) -> list[dict[str, Any]]:
    return [json.loads(record.value)["data"] for record in records]


@pytest.fixture
def registry(tmp_path):
    """A registry with a forest that was trained on usual values."""
    made, X = Registry(str(tmp_path / "models")), np.random.default_rng(0).normal((10, 0), 1, (2000, 2))
    past = Past(X, ["x", "y"], np.arange(len(X)) % 20)
    made.point(MODEL, "live", train(made, MODEL, "isolation_forest", past, {"n_trees": 20}).version)
    return made


def trainer_file(live: Live) -> Any:
    """Settings of the trainer. It sends its decisions to a topic of its own, because nobody can say when the job would take them."""
    kafka = live.settings.kafka.model_dump(mode="json")
    kafka["topics"]["control"] += "-trainer"
    file = live.file.with_name("trainer.yaml")
    file.write_text(as_file(live.settings, {"kafka": kafka}))
    ensure(load(file, {}).kafka, PARTITIONS)
    return file


def give_feedback(live: Live, stream: Stream, job: str) -> dict[int, int]:
    """Have the alert of an entity ignored. Returns the ends of the partitions at a moment between its events before and after that."""
    usual = [("pump", stream.strange("pump")[1] | {"x": 9.0 + k % 7 / 3}) for k in range(60)]
    live.send([*usual, stream.strange("pump")], rate=20.0)
    alerts = live.until(live.topics.alerts, lambda records: any(d["entity"] == "pump" for d in data(records)))
    found = next(d for d in data(alerts) if d["entity"] == "pump")
    judge(live.settings, found["alert_id"], "ignore", "ann", datetime(2100, 1, 1, tzinfo=UTC))
    assert live.counted(job, "feedback_messages") == 1
    ends = Counter(record.partition for record in live.read(live.topics.events))
    stream.others["pump"] = 40
    return {partition: ends[partition] for partition in range(PARTITIONS)}


def maintain(live: Live, stream: Stream, names: list[str]) -> None:
    """Put entities in maintenance; the last one sends its first event when the message is in force."""
    live.control({"type": "maintenance", "windows": [{"entities": name, **ALWAYS} for name in names]})
    assert ask(live.settings.kafka, "pump", "show", PATIENCE)  # it comes after the message on the same topic
    stream.others[names[-1]] = 0


def request_training(live: Live, kill: int) -> str:
    """Ask the trainer for a new version, as the job does when data have drifted."""
    [first] = [
        record for record in live.read(live.topics.events) if (record.partition, record.offset) == (0, 10 + kill)
    ]
    at = datetime.fromtimestamp(first.timestamp / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    place = {"topic": live.topics.events, "offsets": {"0": [first.offset, first.offset + 100]}}
    request = f"{MODEL}/1/inputs/0/{first.offset}"
    asked = {"request": request, "model": MODEL, "reason": "inputs", "version": 1, "since": at, **place}
    message = {"type": "io.streamgauge.retrain.requested", "data": asked}
    live.producer.send(live.topics.retrain_requests, json.dumps(message).encode()).get(PATIENCE)
    return request


def answered(records: list[Any]) -> set[str]:
    """The requests that the trainer has answered, or waits to answer. A training that the broker's end disturbs may have failed."""
    ends = ("shadowed", "rejected", "deferred", "failed")
    events = [json.loads(record.value) for record in records]
    return {event["data"].get("request") for event in events if event["type"].endswith(ends)}


def undisturbed(live: Live, cut: dict[int, int]) -> dict[str, list[bytes]]:
    """What a pipeline in this process writes to each topic, where the feedback comes at the cut."""
    shard = Shard(live.settings.pipeline(), live.topics.events, live.settings.job.name)
    said = [message for r in live.read(live.topics.control) if '"maintenance"' in (message := r.value.decode())]
    shard.apply(parse(said[-1]))
    events, [feedback] = live.read(live.topics.events), live.read(live.topics.feedback)
    before = shard.process(raw_batch([r for r in events if r.offset < cut[r.partition]]))
    shard.hear(parse_feedback(feedback.value), feedback.offset)
    after = shard.process(raw_batch([r for r in events if r.offset >= cut[r.partition]]))
    assert after.counts["muted.maintenance"] > 0
    assert after.counts["muted.feedback"] > 0
    topics = ("alerts", "scores", "dead_letters", "late")
    return {t: sorted(text for result in (before, after) for _, text in getattr(result, t)) for t in topics}


def places(records: list[Any]) -> list[tuple[int, int]]:
    """Partition and offset of the event of each record."""
    return [(record["partition"], record["offset"]) for record in (json.loads(r.value) for r in records)]


@pytest.mark.timeout(300 + 90 * KILLS)
def test_processes_killed_at_random_times_change_no_byte_of_the_alerts_and_every_offset_ends_once(
    cluster, tmp_path, registry
):
    print(f"SEED={SEED} KILLS={KILLS}")
    choose, stream = random.Random(SEED), Stream(SEED)
    live = Live(cluster, tmp_path, models={"registry": registry.url, "use": {MODEL: {}}}, **SECTIONS)
    kinds = list(itertools.islice(itertools.cycle(Victims.KINDS), KILLS))
    choose.shuffle(kinds)
    victims = Victims(live, trainer_file(live))
    requests, maintained = [], []

    def send(over: threading.Event) -> None:
        live.send(stream.records(), RATE, over)

    try:
        live.rest.wait_running(victims.job, PATIENCE)
        with background(send):
            live.at_least(live.topics.alerts, 10)
            cut = give_feedback(live, stream, victims.job)
            for number, kind in enumerate(kinds):
                maintained.append(f"fan-{number}")
                maintain(live, stream, maintained)
                requests.append(request_training(live, number))
                time.sleep(3 * choose.random())
                began = time.monotonic()
                victims.kill(kind)
                live.more(live.topics.alerts, 5)  # the job scores what came after the kill
                print(f"{kind} was killed; alerts come again after {time.monotonic() - began:.0f} s", flush=True)
        live.send(stream.close())
        events, expected = live.read(live.topics.events), undisturbed(live, cut)
        written = {t: live.at_least(getattr(live.topics, t), len(texts)) for t, texts in expected.items()}
        notices = live.until(live.topics.notices, lambda records: answered(records) >= set(requests))
        assert victims.trainer_runs(), victims.trainer_said()
    finally:
        victims.stop()
    for topic, texts in expected.items():
        found = values(written[topic])
        different = sorted(Counter(found) - Counter(texts))[:3], sorted(Counter(texts) - Counter(found))[:3]
        assert found == texts, f"{topic}: {len(found)} and {len(texts)} records, only in one: {different}"
    assert len(expected["alerts"]) > 10 * KILLS
    ended = [place for t in ("scores", "dead_letters", "late") for place in places(written[t])]
    skipped = [(r.partition, r.offset) for r in events if r.value is None]
    assert sorted(ended + skipped) == sorted((r.partition, r.offset) for r in events)
    assert answered(notices) >= set(requests)
    trained = [registry.manifest(MODEL, version).request for version in registry.versions(MODEL)]
    assert max(Counter(trained).values()) == 1, victims.trainer_said()
