"""Trained models in the pipeline: fields found by name, versions changed between two batches, shadows, canaries, exact replays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from streamgauge.models.detectors.network.imported_network import ImportedNetwork
from streamgauge.models.errors import ModelError, SettingsError
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.persistence.signature import public_text
from streamgauge.models.training.candidate import Past, candidate_of, make_candidate
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.messages import parse
from streamgauge.udfs.pipeline.task import Job, Task
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.pipeline import ModelsSettings, PipelineSettings
from streamgauge.udfs.settings.topics import EventTopics

from tests.onnx_networks import distance
from tests.streams import SMALL, Run, batch, stream

FIELDS = ["f2", "f0", "f1"]  # not the stream's order


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Two versions of a forest and a forecaster of sequences, trained on the usual values of `stream`."""
    random = np.random.default_rng(0)
    X = np.column_stack([random.normal(10 * f, 1 + f, 600) for f in (2, 0, 1)])
    registry = Registry(str(tmp_path_factory.mktemp("registry")))
    past = Past(X, FIELDS, np.arange(600, dtype=np.int64) % 3)
    for seed in (1, 2):
        registry.publish(*make_candidate("forest", "isolation_forest", past, {"n_trees": 8, "part": 64, "seed": seed}))
    registry.publish(*make_candidate("waves", "temporal_cnn", past, {"steps": 5, "hidden": 4, "epochs": 2}))
    for name in ("forest", "waves"):
        registry.point(name, "live", 1)
    return registry


def settings(registry, history=8, **use):
    models = {"registry": registry.url, "history": history, "use": use or {"forest": {}, "waves": {}}}
    return PipelineSettings.model_validate(SMALL.model_dump() | {"models": models})


def test_a_restart_after_a_batch_without_events_leaves_a_model_the_calibrator_of_its_version(registry):
    chosen, dead = settings(registry, forest={}), batch([b"{broken"], offset=400)
    run = Run(chosen).feed(dead)
    again = Run(chosen, run.saved)
    raw = stream().take(np.arange(60))
    assert again.feed(raw).outputs()["scores"] == run.feed(raw).outputs()["scores"]
    assert again.shard.canonical() == run.shard.canonical()


def test_an_imported_network_gives_its_opinion_like_any_other_model(registry):
    random = np.random.default_rng(0)
    X = np.column_stack([random.normal(10 * f, 1 + f, 600) for f in (2, 0, 1)])
    network = distance(np.array([20.0, 0.0, 10.0]), np.array([3.0, 1.0, 2.0]))
    past = Past(X, FIELDS, np.arange(600, dtype=np.int64) % 3)
    registry.publish(*candidate_of("theirs", ImportedNetwork().with_network(network), past, 10**6))
    registry.point("theirs", "live", 1)
    raw, chosen = stream(), settings(registry, theirs={})
    whole, cut = Run(chosen).feed(raw), Run(chosen).feed(raw, [7, 150, 151])
    assert cut.outputs() == whole.outputs()
    assert "theirs" in {name for _, text in whole.scores for name in json.loads(text)["detectors"]}


def version_message(version, role="live", model="forest", share=0.0):
    return parse(json.dumps({"type": "model", "model": model, "role": role, "version": version, "share": share}))


@given(st.lists(st.integers(1, 399), max_size=12))
def test_batch_boundaries_do_not_matter(registry, cuts):
    raw, chosen = stream(), settings(registry, forest={"shadow": "2"}, waves={})
    whole, cut = Run(chosen).feed(raw), Run(chosen).feed(raw, cuts)
    assert cut.outputs() == whole.outputs()
    assert cut.shard.canonical() == whole.shard.canonical()
    scored = {name for _, text in whole.scores for name in json.loads(text)["detectors"]}
    assert {"forest", "forest shadow", "waves"} <= scored


@given(st.integers(1, 399), st.lists(st.integers(1, 399), max_size=6))
def test_resuming_equals_never_having_stopped(registry, stop, cuts):
    raw, chosen = stream(seed=1), settings(registry)
    first, rest = raw.take(np.arange(stop)), raw.take(np.arange(stop, len(raw)))
    before = Run(chosen).feed(first, cuts)
    after = Run(chosen, before.saved).feed(rest)
    whole = Run(chosen).feed(raw)
    assert after.shard.canonical() == whole.shard.canonical()
    assert sorted(before.scores + after.scores) == sorted(whole.scores)


def test_features_are_found_by_name_and_the_opinion_is_that_of_the_model_alone(registry):
    raw = batch([{"entity": "a", "f0": 1.0, "f1": 12.0, "other": 3.0, "f2": 21.0}] * 2)
    shard = Run(settings(registry, forest={})).feed(raw).shard
    stages = shard.partitions[0].stages
    columns, models = stages.alignment.schema.numeric, stages.scorer.models
    X = np.array([[{"f0": 1.0, "f1": 12.0, "other": 3.0, "f2": 21.0}[name] for name in columns]])
    histories = models.histories(np.zeros((1, 4, 9)), np.array([-1]), X, columns)
    opinion = models.serve("records", X, columns, histories)[0]
    expected = registry.load("forest", 1).detector
    assert opinion.raw_score == expected.rate_many(np.array([[21.0, 1.0, 12.0]]))
    assert opinion.missing == 0.0
    assert np.isnan(opinion.weights[0][columns.index("other")])
    np.testing.assert_allclose(np.nansum(opinion.weights[0]), expected.score_many(np.array([[21.0, 1.0, 12.0]]))[0])


def test_a_missing_field_counts_as_usual_and_is_reported_as_missing(registry):
    models = Models(settings(registry, forest={}).models)
    X = np.array([[1.0]])
    opinion = models.serve("records", X, ["f0"], models.histories(np.zeros((1, 1, 9)), np.array([-1]), X, ["f0"]))[0]
    assert opinion.missing == pytest.approx(2 / 3)
    expected = registry.load("forest", 1).detector.rate_many(np.array([[np.nan, 1.0, np.nan]]))
    assert opinion.raw_score == expected
    other = np.array([[1.0]])
    windows = models.histories(np.zeros((1, 1, 9)), np.array([-1]), other, ["else"])
    assert models.serve("records", other, ["else"], windows)[0] is None


def test_histories_are_the_last_events_of_each_entity(registry):
    models = Models(settings(registry).models)
    random = np.random.default_rng(0)
    rings, past = np.zeros((3, 3, models.width)), {0: [], 1: [], 2: []}
    for turn in range(30):
        n = int(random.integers(1, 9))
        slots, X = random.integers(-1, 3, n), random.normal(size=(n, 3))
        if turn % 5 == 4:
            models.remember(rings, slots, X)
        histories = models.histories(rings, slots, X, ["f0", "f1", "f2"]) if turn % 5 < 4 else None
        for i, slot in enumerate(slots.tolist()):
            if slot < 0:
                assert histories is None or (histories.counts[i] == 0 and np.isnan(histories.values[i]).all())
                continue
            past[slot].append(X[i])
            if histories is None:
                continue
            assert histories.counts[i] == len(past[slot])
            known = np.array(past[slot][-5:])
            np.testing.assert_array_equal(histories.values[i, 5 - len(known) :], known)
            assert np.isnan(histories.values[i, : 5 - len(known)]).all()


def test_a_version_changes_between_two_batches_is_named_in_alerts_and_survives_a_restart(registry):
    raw, chosen = stream(seed=2), settings(registry)
    run = Run(chosen).feed(raw.take(np.arange(200)))
    run.shard.apply(version_message(2))
    run.feed(raw.take(np.arange(200, 300)))
    again = Run(chosen, run.saved)
    again.shard.apply(version_message(2))  # a job reads the control topic from its beginning when it starts
    rest = raw.take(np.arange(300, 400))
    assert again.feed(rest).shard.canonical() == run.feed(rest).shard.canonical()
    versions = {json.loads(text)["data"]["detectors"].get("forest", {}).get("version") for _, text in run.alerts}
    assert {"1", "2"} <= versions


def test_a_shadow_that_becomes_live_and_the_version_before_it_keep_their_calibrators(registry):
    raw, chosen = stream(seed=2), settings(registry, forest={"shadow": "2"})
    run = Run(chosen).feed(raw.take(np.arange(300)))
    calibrators = run.shard.partitions[0].stages.scorer.calibrators
    names = calibrators.of.names

    def of(member):
        return calibrators.members[names.index(member)].to_state()

    live, shadow = of("forest"), of("forest shadow")
    run.shard.apply(version_message(2))
    run.shard.process(batch([b"{broken"], offset=300))  # a batch that nothing is learned from
    assert (of("forest"), of("forest shadow")) == (shadow, live)
    run.shard.apply(version_message(1))
    run.shard.process(batch([b"{broken"], offset=300))  # a batch that nothing is learned from
    assert (of("forest"), of("forest shadow")) == (live, shadow)
    assert live != registry.load("forest", 1).calibrator.to_state()  # it has learned from the stream


def test_there_is_no_shadow_if_its_alias_names_the_live_version(registry):
    registry.point("forest", "beside", 1)
    run = Run(settings(registry, forest={"shadow": "beside"}))
    assert run.shard.models.versions == {"forest": "1"}
    for version, role in (
        (1, "shadow"),
        (2, "live"),
    ):  # a message may name the version that is live until the next one comes
        run.shard.apply(version_message(version, role))
    assert run.shard.models.versions == {"forest": "2", "forest shadow": "1"}


def test_a_shadow_is_scored_and_compared_but_changes_no_alert(registry):
    raw = stream(seed=2)
    alone = Run(settings(registry, forest={})).feed(raw)
    shadowed = Run(settings(registry, forest={"shadow": "2"})).feed(raw)

    def essence(run):
        return [
            {k: v for k, v in json.loads(t)["data"].items() if k not in ("alert_id", "group")} for _, t in run.alerts
        ]

    assert essence(shadowed) == essence(alone)
    compared = {k: n for k, n in shadowed.counts.items() if k.startswith("models.forest.")}
    assert compared["models.forest.both"] > 0
    shadowed.shard.apply(version_message(None, "shadow"))
    shadowed.feed(batch([{"entity": "a", "f0": 1.0}], offset=9999))
    assert "forest shadow" not in json.loads(shadowed.scores[-1][1])["detectors"]


@given(st.lists(st.integers(101, 399), max_size=6), st.integers(101, 399))
def test_a_canary_does_not_depend_on_batches_and_restarts(registry, cuts, stop):
    raw, chosen, runs = stream(seed=2), settings(registry, forest={}), []
    rest = raw.take(np.arange(100, 400))
    for where in ([], cuts, [stop]):
        run = Run(chosen).feed(raw.take(np.arange(100)))
        run.shard.apply(version_message(2, "shadow", share=0.5))
        if where == [stop]:
            before, run = run.feed(rest.take(np.arange(stop - 100))), Run(chosen, run.saved)
            run.shard.apply(version_message(2, "shadow", share=0.5))
            run.alerts, run.scores = before.alerts, before.scores
            run.feed(rest.take(np.arange(stop - 100, 300)))
        else:
            run.feed(rest, [cut - 100 for cut in where])
        runs.append(run)
    for run in runs[1:]:
        assert sorted(run.alerts) == sorted(runs[0].alerts)
        assert run.shard.canonical() == runs[0].shard.canonical()


def test_a_canary_counts_for_some_entities_and_the_live_model_for_the_others(registry):
    raw = stream(seed=2)
    plain, canary = (Run(settings(registry, forest={"shadow": "2"})).feed(raw.take(np.arange(100))) for _ in range(2))
    canary.shard.apply(version_message(2, "shadow", share=0.5))
    rest = raw.take(np.arange(100, 400))
    scores = [{}, {}]
    for which, run in zip(scores, (plain, canary), strict=True):
        for _, text in run.feed(rest).scores:
            record = json.loads(text)
            which[record["offset"]] = (record["entity"], record["detectors"])
    in_share = {
        f"e{k}": bool(flag) for k, flag in enumerate(canary.shard.models.canaries([f"e{k}" for k in range(6)])[:, 0])
    }
    assert set(in_share.values()) == {True, False}
    for offset, (entity, members) in scores[0].items():
        names = ("forest shadow", "forest") if in_share[entity] and offset >= 100 else ("forest", "forest shadow")
        assert (scores[1][offset][1]["forest"], scores[1][offset][1]["forest shadow"]) == tuple(
            members[n] for n in names
        )
    late = [
        json.loads(text)["data"] for _, text in canary.alerts if json.loads(text)["data"]["source"]["offset"] >= 100
    ]
    versions = {
        (in_share[data["entity"]], data["detectors"]["forest"]["version"])
        for data in late
        if "forest" in data["detectors"]
    }
    assert versions == {(True, "2"), (False, "1")}
    same = {k: canary.counts[k] for k in canary.counts if k.startswith("models.")}
    assert same == {k: plain.counts[k] for k in plain.counts if k.startswith("models.")}  # the counts are of versions
    with pytest.raises(SettingsError, match="share: only a shadow has one"):
        version_message(1, share=0.5)


def about_forest(k, verdict, entity="e1", **source):
    """Feedback on an alert that the model agreed with."""
    return Feedback(
        alert_id=f"a{k}",
        entity=entity,
        kind="point",
        field="f0",
        tail_probability=1e-5,
        verdict=verdict,
        by=f"p{k % 5}",
        agreed=("forest",),
        source={"partition": 0, "first": k, "last": k + 1} | source,
    )


def test_the_partition_of_the_entity_requests_a_retraining_of_a_model_that_has_become_worse_by_feedback(registry):
    run = Run(settings(registry, forest={})).feed(stream(seed=2))

    messages = [about_forest(k, "true") for k in range(80)] + [about_forest(k, "false") for k in range(80, 150)]
    [(key, text)] = [request for k, message in enumerate(messages) for request in run.shard.hear(message, k).requests]
    data = json.loads(text)["data"]
    assert (key, data["model"], data["version"], data["reason"]) == ("forest", "forest", 1, "performance")
    assert data["evidence"]["of"] == "precision"
    assert data["evidence"]["after"] < 0.5
    [(partition, (first, end))] = data["offsets"].items()
    assert (partition, first < end) == ("0", True)
    again = [request for k, message in enumerate(messages) for request in run.shard.hear(message, k).requests]
    assert again == []


def test_the_data_since_a_model_became_worse_are_those_of_the_alert_whatever_partition_asks(registry):
    """The first alert that people found false was of another partition than the one that completed the evidence."""
    run = Run(settings(registry, forest={})).feed(stream(seed=2))
    elsewhere = {"entity": "other", "partition": 3, "topic": "more"}
    messages = [about_forest(k, "true") for k in range(80)]
    messages += [about_forest(k, "false", **elsewhere) for k in range(80, 84)]
    messages += [about_forest(k, "false") for k in range(84, 150)]
    [(_, text)] = [request for k, message in enumerate(messages) for request in run.shard.hear(message, k).requests]
    data = json.loads(text)["data"]
    assert (data["topic"], data["offsets"]) == ("more", {"3": [80, 82]})
    assert data["request"].startswith("forest/1/performance/0/")


def test_a_model_that_cannot_be_used_is_refused_with_the_reason_and_the_old_one_stays(registry, tmp_path):
    run = Run(settings(registry, forest={}))
    with pytest.raises(ModelError, match=r"no forest version 9 .*versions: 1, 2"):
        run.shard.apply(version_message(9))
    with pytest.raises(SettingsError, match="'pumps' is not used by this job; used are: forest"):
        run.shard.apply(version_message(1, model="pumps"))
    assert run.shard.models.versions == {"forest": "1"}
    with pytest.raises(
        SettingsError, match=r"models.history: waves version 1 looks at 5 events .* 4 are kept: set it to 5"
    ):
        Models(settings(registry, history=4, waves={}).models)
    with pytest.raises(ModelError, match=r"no alias 'live' .*aliases: none"):
        Models(ModelsSettings.model_validate({"registry": str(tmp_path), "use": {"forest": {}}}))


def test_without_a_model_of_the_saved_state_detectors_begin_anew(registry, caplog):
    saved = Run(settings(registry, forest={})).feed(stream(n=100)).saved
    run = Run(SMALL, saved)
    assert "begin anew (gone: forest, forest shadow)" in caplog.text
    assert run.shard.partitions[0].stages.scorer.served == {}
    assert run.feed(batch([{"entity": "a", "x": 1.0}], offset=100)).counts["unjudged"] == 1


def test_a_trained_model_adds_evidence_where_value_novelty_leads(registry, tmp_path):
    random = np.random.default_rng(3)
    own = Registry(str(tmp_path))
    past = Past(random.normal(size=(500, 1)), ["x"], np.zeros(500, np.int64))
    own.publish(*make_candidate("mixture", "gaussian_mixture", past))
    own.point("mixture", "live", 1)
    events = [{"entity": "a", "x": float(x)} for x in random.normal(size=400)]
    for i in (350, 360, 370):
        events[i]["x"] = 25.0  # no longer new to the entity at the second and third time
    scores = []
    for chosen in (SMALL, settings(own, mixture={})):
        run = Run(chosen).feed(batch(events))
        scores.append([json.loads(t)["score"] for _, t in run.scores])
    assert scores[0][370] < scores[0][350]
    assert min(scores[1][i] for i in (350, 360, 370)) > 0.75


def test_a_first_seen_category_is_an_anomaly_whose_alert_names_the_text_field():
    detectors = {
        "first_seen_category": {"bits": 1 << 14},
        **dict.fromkeys(SMALL.detectors.model_dump(exclude_none=True)),
    }
    chosen = PipelineSettings.model_validate(
        SMALL.model_dump(exclude={"detectors"}) | {"detectors": detectors, "decide": {"threshold": 0.02, "warmup": 5}}
    )
    random = np.random.default_rng(0)
    events = [{"entity": f"e{i % 3}", "x": 1.0, "country": str(random.choice(["de", "fr"]))} for i in range(600)]
    events[550]["country"] = "ng"
    run = Run(chosen).feed(batch(events), [100, 555])
    [data] = [json.loads(text)["data"] for _, text in run.alerts if json.loads(text)["data"]["state"] == "opened"]
    assert (data["source"]["offset"], data["actual"]["country"], data["contributions"]["country"]) == (550, "ng", 1.0)


# ---- signed aliases ---------------------------------------------------------------------------------------------------


@pytest.fixture
def signing(registry, tmp_path):
    """A copy of the registry whose versions 1 and 2 of the forest, and the alias `live`, are signed."""
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    own = Registry(str(tmp_path / "signed"), (public_text(key),), tmp_path / "key.pem")
    for version in (1, 2):
        folder = Path(registry.url) / "forest" / "files"
        manifest = registry.manifest("forest", version)
        files = {file: (folder / digest).read_bytes() for file, digest in manifest.variants["full"].files.items()}
        own.publish(manifest, {"full": (files, {})})
    own.point("forest", "live", 1)
    return own


def alias_file(registry):
    return Path(registry.url) / "forest" / "aliases" / "live.json"


def signed_settings(registry):
    models = {"registry": registry.url, "trusted_keys": list(registry.trusted_keys), "use": {"forest": {}}}
    return PipelineSettings.model_validate(SMALL.model_dump() | {"models": models})


def test_an_older_alias_that_was_put_back_is_not_used_after_a_restart(signing, caplog):
    old = alias_file(signing).read_bytes()
    signing.point("forest", "live", 2)
    raw, chosen = stream(), signed_settings(signing)
    first = Run(chosen).feed(raw.take(np.arange(200)))
    assert first.shard.models.versions == {"forest": "2"}
    alias_file(signing).write_bytes(old)
    again = Run(chosen, first.saved)
    assert "the alias 'live' has the serial number" in caplog.text
    assert again.shard.models.versions == {"forest": "2"}
    rest = raw.take(np.arange(200, 400))
    assert again.feed(rest).alerts == first.feed(rest).alerts[-len(again.alerts) :]
    third = Run(chosen, again.saved)  # the memory is saved again
    assert third.shard.models.versions == {"forest": "2"}


def test_a_message_that_follows_an_alias_that_was_put_back_is_refused(signing):
    old = alias_file(signing).read_bytes()
    signing.point("forest", "live", 2)
    shard = Run(signed_settings(signing)).shard
    alias_file(signing).write_bytes(old)
    with pytest.raises(
        ModelError, match=r"forest: the alias 'live' has the serial number \d+, but \d+ was seen before"
    ):
        shard.apply(version_message(1))
    assert shard.models.versions == {"forest": "2"}
    signing.point("forest", "live", 1)
    shard.apply(version_message(1))
    assert shard.models.versions == {"forest": "1"}


def test_a_job_does_not_start_with_an_alias_that_nobody_signed(signing):
    Registry(signing.url).point("forest", "live", 2)
    with pytest.raises(ModelError, match=r"'live' .* is not signed"):
        Run(signed_settings(signing))


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(1, 2)), min_size=1, max_size=8))
def test_whatever_older_aliases_are_put_back_the_job_uses_the_newest_that_it_has_seen(signing, steps):
    """Each step either moves the alias, or puts an older one back; then the job starts anew from its state."""
    saved, texts, newest = {}, [], 1
    for put_back, which, version in steps:
        if put_back and texts:
            alias_file(signing).write_bytes(texts[which % len(texts)])
        else:
            signing.point("forest", "live", version)
            texts.append(alias_file(signing).read_bytes())
            newest = version
        run = Run(signed_settings(signing), saved)
        run.feed(batch([{"entity": "a", "f0": 1.0}], offset=len(texts)))
        saved = run.saved
        assert run.shard.models.versions == {"forest": str(newest)}


def test_no_shard_of_a_task_takes_an_old_version_that_a_message_on_the_topic_names(signing):
    """Such a message is there if a trainer was started after the older alias was put back, and told the jobs what it names."""
    old = alias_file(signing).read_bytes()
    signing.point("forest", "live", 2)
    job = Job(signed_settings(signing), EventTopics(), "feedback", "job", True)
    first, saved = Task(job), {}
    for shard in (0, 1):
        saved[shard] = first.process(shard, batch([{"entity": "a", "f0": 1.0}], shard), {}).writes
    alias_file(signing).write_bytes(old)
    again, message = Task(job), version_message(1).model_dump_json()
    assert again.hear("control", 0, message).dead_letter is None  # nothing that was seen is known yet
    for shard in (0, 1):
        result = again.process(shard, batch([{"entity": "a", "f0": 1.0}], shard, offset=1), saved[shard])
        assert result.dead_letters == []
        assert again.models.versions == {"forest": "2"}
