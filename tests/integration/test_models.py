"""Trained models on the real cluster: trained from Kafka, chosen by settings, swapped and shadowed while the job runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from streamgauge.jobs.kafka.follow import not_learned
from streamgauge.jobs.kafka.topics import send_control
from streamgauge.jobs.studies.train import past_of_topic, train
from streamgauge.models.catalog import FITTED
from streamgauge.models.errors import ClusterError, InputError
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past
from streamgauge.udfs.control.feedback import Source, Stretch
from streamgauge.udfs.control.messages import ModelVersion

from tests.integration.live import Live, events, values
from tests.models.detectors.fitted.test_fitted_checks import SMALL as SMALL_MODELS


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """A registry with each trained detector, trained on usual values of `events`."""
    random = np.random.default_rng(0)
    X = np.column_stack((random.normal(10, 1, 400), random.normal(0, 1, 400)))
    past = Past(X, ["x", "y"], np.arange(400, dtype=np.int64) % 4)
    registry = Registry(str(tmp_path_factory.mktemp("registry")))
    for name, kind in FITTED.items():
        few = {"epochs": 3} if kind.needs_torch else {}
        registry.point(name, "live", train(registry, name, name, past, SMALL_MODELS[name] | few).version)
    return registry


def test_every_trained_detector_runs_in_the_job_by_settings_alone(cluster, tmp_path, registry):
    use = {name: {} for name in FITTED}
    live = Live(cluster, tmp_path, models={"registry": registry.url, "history": 8, "use": use})
    with live.job():
        live.send(events(2000, entities=5))
        expected = live.expected()
        scores = live.until(live.topics.scores, lambda r: len(r) >= len(expected.scores))
        alerts = live.at_least(live.topics.alerts, len(expected.alerts))
    assert values(scores) == expected.scores
    assert values(alerts) == expected.alerts
    assert {name for r in scores for name in json.loads(r.value)["detectors"]} >= set(FITTED)


def test_a_model_trained_from_the_topic_is_swapped_in_without_a_restart_and_a_bad_one_is_not(
    cluster, tmp_path, registry
):
    models = {"registry": registry.url, "use": {"isolation_forest": {"shadow": "1"}}}
    live = Live(cluster, tmp_path, models=models)

    def assign(version, role="live"):
        message = ModelVersion(type="model", model="isolation_forest", role=role, version=version)
        send_control(live.settings.kafka, message)

    def versions(records):
        opinions = [json.loads(r.value)["data"]["detectors"] for r in records]
        return [one["isolation_forest"]["version"] for one in opinions if "isolation_forest" in one]

    with live.job() as job:
        live.send(events(1500, entities=5))
        live.at_least(live.topics.scores, 1500)
        assert set(versions(live.until(live.topics.alerts, versions))) == {"1"}
        past = past_of_topic(live.settings, live.topics.events, last=1200)
        assert past.features == ["x", "y"]
        assert len(past.X) == 1200
        assert len(past_of_topic(live.settings, live.topics.events, {0: (10, 60)}).X) == 50
        with pytest.raises(InputError, match="has no partition 9"):
            past_of_topic(live.settings, live.topics.events, {9: (0, 10)})
        quarantined = {stretch.entity for stretch in not_learned(live.settings.kafka, 0)}
        assert {"e1", "e2"} <= quarantined <= {f"e{k}" for k in range(5)}
        whole = past_of_topic(live.settings, live.topics.events)
        some = [Stretch("e1", Source(partition=p, first=100, last=400)) for p in range(4)]
        spared = past_of_topic(live.settings, live.topics.events, quarantined=some)
        assert 0.8 * len(whole.X) <= len(spared.X) < len(whole.X)
        assert spared.left_out.endswith(f"{len(whole.X) - len(spared.X)} that were quarantined")
        everything = [Stretch(f"e{k}", Source(partition=p, first=0, last=1500)) for k in range(5) for p in range(4)]
        assert len(past_of_topic(live.settings, live.topics.events, quarantined=everything).X) == len(
            whole.X
        )  # too many to leave out
        trained = train(registry, "isolation_forest", "isolation_forest", past, {"n_trees": 20})
        assert trained.parent == 1
        assign(trained.version)
        assign(99)
        letters = live.until(live.topics.dead_letters, bool)
        live.send(events(1500, entities=5, seed=1))
        live.at_least(live.topics.scores, 3000)
        after = versions(live.until(live.topics.alerts, lambda r: str(trained.version) in versions(r)))
        failures = live.counted(job, "model_failures")
    letter = json.loads(letters[0].value)
    assert letter["reason"] == "bad_control"
    assert "no isolation_forest version 99" in letter["message"]
    assert failures > 0
    assert str(trained.version) in after
    assert str(99) not in after
    shadows = [json.loads(r.value)["detectors"] for r in live.read(live.topics.scores)]
    assert any("isolation_forest shadow" in one for one in shadows)


def test_settings_that_name_a_model_which_is_not_there_fail_the_job_with_the_reason(cluster, tmp_path):
    live = Live(cluster, tmp_path, models={"registry": str(tmp_path / "none"), "use": {"pumps": {}}})
    options = ("-Drestart-strategy.type=none",)
    with pytest.raises(ClusterError, match="pumps has no alias 'live'"), live.job(options=options):
        pass


def test_an_alert_is_explained_from_its_offsets_byte_for_byte_with_a_picture(cluster, tmp_path, registry):
    from streamgauge.jobs.commands.app import app
    from typer.testing import CliRunner

    models = {"registry": registry.url, "use": {"gaussian_mixture": {}}}
    live = Live(cluster, tmp_path, models=models, decide={"threshold": 1e-4})
    with live.job():
        live.send(events(3000, entities=4))
        live.at_least(live.topics.scores, 3000)
        alerts = [json.loads(r.value)["data"] for r in live.read(live.topics.alerts)]
    opened = [data for data in alerts if data["state"] == "opened"]
    last = max(opened, key=lambda data: data["source"]["offset"])
    runner = CliRunner()
    picture = tmp_path / "alert.png"
    arguments = ["explain", last["alert_id"], "--settings", str(live.file), "--plot", str(picture)]
    done = runner.invoke(app, [*arguments, "--json"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    explanation = json.loads(done.stdout.strip().splitlines()[-1])
    assert explanation["equal"] is True, explanation["differs"]
    assert explanation["alert"]["data"] == last
    assert explanation["differs"] == {}
    assert explanation["notes"] == []
    assert explanation["would_not_have_fired"], (
        last["actual"],
        last["expected"],
        last["contributions"],
        last["detectors"],
        last["score"],
    )
    assert explanation["would_not_have_fired"][0].split(" ")[0] in ("x", "y")
    assert picture.read_bytes().startswith(b"\x89PNG")
    shown = runner.invoke(app, arguments, env={"COLUMNS": "200"})
    assert "scored again: the same bytes" in shown.output
    unknown = runner.invoke(app, ["explain", "nothing", "--settings", str(live.file)])
    assert unknown.exit_code == 2
    assert "there is no alert 'nothing' on" in unknown.output
