"""The whole loop on the real cluster, in one job: drift, request, training, shadow, canary, live; then a bad model and its rollback."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
from streamgauge.jobs.kafka.topics import send_control
from streamgauge.jobs.retrain_models import Trainer
from streamgauge.jobs.retraining.metrics import serve
from streamgauge.jobs.studies.train import train
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past
from streamgauge.udfs.control.messages import ModelVersion

from tests.docker.prometheus import asked_of_the_job, broken_rules, prometheus, silent
from tests.integration.live import PATIENCE, Live, background

ENTITIES = 24


def past(n, seed, centre=0.0, spread=1.0):
    random = np.random.default_rng(seed)
    return Past(random.normal(centre, spread, (n, 3)), ["a", "b", "c"], random.integers(0, ENTITIES, n))


def events(n, seed, centre=0.0):
    X = past(n, seed, centre).X
    for i, (a, b, c) in enumerate(X.tolist()):
        entity = f"e{i % ENTITIES}"
        yield entity, {"entity": entity, "a": a, "b": b, "c": c}


def again(work):
    """For `background`: call `work` again and again until the block ends."""

    def run(over: threading.Event) -> None:
        while not over.is_set():
            work()

    return run


def steps_of(live):
    """Steps of the model so far: (step, data)."""
    records = [json.loads(record.value) for record in live.read(live.topics.notices)]
    return [
        (event["type"].rpartition("model.")[2], event["data"])
        for event in records
        if ".model." in event["type"] and not event["type"].endswith("compared")
    ]


def rejected_since_settled(steps):
    """How many requests got no good answer between `settled` and `rolled_back`. A bad live version can ask, too."""
    names = [step for step, _ in steps]
    between = steps[names.index("settled") + 1 : names.index("rolled_back")]
    return len({data["request"] for step, data in between if step in ("rejected", "failed") and "instead" not in data})


def until(live, step, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while step not in dict(steps_of(live)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return steps_of(live)


def addresses(cluster, trainer):
    """Where Prometheus finds the processes of Flink and the trainer."""
    numbers = [0, *(1 + int(process.role.removeprefix("taskmanager-")) for process in cluster.roles("taskmanager"))]
    flink = [f"127.0.0.1:{cluster.ports['prometheus'] + number}" for number in numbers]
    return {"streamgauge-flink": flink, "streamgauge-trainer": [f"127.0.0.1:{trainer}"]}


def still_silent(prometheus, queries):
    """The queries without data, once there are none, or after a while."""
    deadline = time.monotonic() + PATIENCE
    while (without := silent(prometheus, queries)) and time.monotonic() < deadline:
        time.sleep(1)
    return without


def test_a_drift_is_answered_by_a_new_model_and_a_bad_model_by_the_old_one(cluster, tmp_path):
    registry = Registry(str(tmp_path / "models"))
    registry.point("pumps", "live", train(registry, "pumps", "isolation_forest", past(4000, 0)).version)
    live = Live(
        cluster,
        tmp_path,
        models={"registry": str(tmp_path / "models"), "use": {"pumps": {}}},
        drift={"every": 300},
        retrain={"least": 3000, "compare": 2000, "wait": "1 h"},
        decide={"threshold": 1e-3},
        output={"scores": "none"},
        track=1000,
    )
    trainer, seeds = Trainer(live.settings), iter(range(1, 10_000))
    with (
        live.job() as job,
        background(again(lambda: trainer.run(once=True))),
        serve(trainer.reports.metrics, 0) as port,
        prometheus(tmp_path, addresses(cluster, port)) as watching,
    ):
        live.send(events(4000, 0))
        assert live.counted(job, "scored") > 0
        with background(again(lambda: live.send(events(1500, next(seeds), centre=1.5), rate=1500))):
            steps = until(live, "settled")
            new = dict(steps)["settled"]["version"]
            # A training for another request may end meanwhile: its version is told of, and is not used.
            of_new = [(step, data) for step, data in steps if data.get("version") == new]
            assert [step for step, _ in of_new] == ["trained", "shadowed", "canary", "promoted", "settled"]
            assert "cost" not in [data.get("gate") for _, data in steps]  # the same kind of model costs the same
            assert registry.aliases("pumps")["live"] == new
            requests = [json.loads(r.value)["data"] for r in live.read(live.topics.retrain_requests)]
            assert {request["version"] for request in requests} == {1}
            assert len({request["request"] for request in requests}) == len(requests)
            manifest = registry.manifest("pumps", new)
            assert (manifest.parent, manifest.request) == (1, of_new[0][1]["request"])
            assert abs(manifest.centre[0] - 1.5) < 0.3
            assert trainer.reports.backoff.rejections("pumps") == 0

            bad = train(registry, "pumps", "isolation_forest", past(4000, 5, centre=-3.0, spread=0.01))
            for role, version in (("shadow", new), ("live", bad.version)):
                registry.point("pumps", role, version)
                send_control(live.settings.kafka, ModelVersion(type="model", model="pumps", role=role, version=version))
            steps = until(live, "rolled_back")
            assert live.counted(job, "planted_rich", "planted_light") > 0  # while events still come
        back = dict(steps)["rolled_back"]
        assert (back["version"], back["live"]) == (new, bad.version)
        assert back["rejections"] == 1 + rejected_since_settled(steps), steps
        assert back["live_alerts"] > 20
        assert registry.aliases("pumps")["live"] == new
        tracked = [json.loads(r.value)["data"] for r in live.read(live.topics.notices) if b".tracked" in r.value]
        assert {record["models"].get("pumps") for record in tracked} >= {"1", str(new)}
        probed = [record["probe"] for record in tracked if record["probe"]]
        assert {"pumps"} <= {name for probe in probed for name in probe["members"]}
        assert live.rest.call(f"/jobs/{job}")["state"] == "RUNNING"
        live.send([("e0", b"no event")])  # a panel shows only dead letters that come
        assert not still_silent(watching, asked_of_the_job(live.settings.job.name))
        assert not broken_rules(watching)
    restarted = Trainer(live.settings)
    restarted.recall()
    assert restarted.reports.backoff.rejections("pumps") == trainer.reports.backoff.rejections("pumps") >= 1
    assert 'streamgauge_retrain_trained_total{model="pumps"}' in trainer.reports.metrics.text()
