"""The invariants of the pipeline (docs/adr/001)."""

from __future__ import annotations

import json

import hypothesis
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from streamgauge.models.errors import SettingsError, StateError
from streamgauge.udfs.control.messages import parse
from streamgauge.udfs.entities import knowledge
from streamgauge.udfs.entities.columns import SEEN
from streamgauge.udfs.events import stream_kind
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.pipeline.warm_up import warm_up
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.detectors import DetectorSettings
from streamgauge.udfs.settings.pipeline import LOOK_EVERY, EnsembleSettings, ModelsSettings, PipelineSettings

from tests.streams import SMALL, START, Run, batch, stream

cuts = st.lists(st.integers(1, 399), max_size=12)
widths = st.sampled_from([1, 3])  # one field is a series with rich entities, three are records
# room for a few rich entities in each partition
TIGHT = SMALL.model_copy(update={"entity": SMALL.entity.model_copy(update={"rich_memory": 0.029})})


@given(cuts, st.integers(0, 5), widths, st.sampled_from([SMALL, TIGHT]))
def test_batch_boundaries_do_not_matter(where, seed, fields, settings):
    raw = stream(seed=seed, fields=fields, partitions=2)
    whole, cut = Run(settings).feed(raw), Run(settings).feed(raw, where)
    assert cut.outputs() == whole.outputs()
    assert cut.shard.canonical() == whole.shard.canonical()


@given(st.integers(1, 399), cuts, st.integers(0, 5), widths, st.sampled_from([SMALL, TIGHT]))
def test_resuming_from_saved_state_equals_never_having_stopped(stop, where, seed, fields, settings):
    raw = stream(seed=seed, fields=fields, partitions=2)
    first, rest = raw.take(np.arange(stop)), raw.take(np.arange(stop, len(raw)))
    before = Run(settings).feed(first, where)
    after = Run(settings, before.saved).feed(rest, where)
    whole = Run(settings).feed(raw)
    assert after.shard.canonical() == whole.shard.canonical()
    assert after.saved.keys() == Run(settings).feed(first, where).feed(rest, where).saved.keys()
    joined = {name: sorted(before.outputs()[name] + records) for name, records in after.outputs().items()}
    assert joined == whole.outputs()


@pytest.mark.parametrize("fields", [1, 3])
def test_restoring_after_each_event_changes_nothing(fields):
    raw, saved, alerts = stream(n=150, fields=fields), {}, []
    for i in range(len(raw)):
        run = Run(saved=saved).feed(raw.take(np.array([i])))
        saved, alerts = run.saved, alerts + run.alerts
    whole = Run().feed(raw)
    assert alerts == whole.alerts
    assert run.shard.canonical() == whole.shard.canonical()


def crowd(seed: int) -> RawBatch:
    """400 events of some 60 entities, so that each is young, and what is known of the others decides about it."""
    random = np.random.default_rng(seed)
    events = []
    for i in range(400):
        entity = int(random.integers(60))
        event = {"entity": f"e{entity}", "x": float(random.normal(entity % 5, 1)), "y": float(random.exponential())}
        if i > 150:
            event["z"] = float(random.normal())
        if random.random() < 0.02:
            event["x"] += 50.0
        events.append(event)
    return batch(events)


@given(st.integers(1, 399), cuts, st.integers(0, 5))
def test_what_is_known_of_all_entities_together_does_not_depend_on_batches_and_restarts(stop, where, seed):
    raw = crowd(seed)
    first, rest = raw.take(np.arange(stop)), raw.take(np.arange(stop, len(raw)))
    whole, before = Run().feed(raw), Run().feed(first, where)
    after = Run(saved=before.saved).feed(rest, [w - stop for w in where])
    [levels] = whole.shard.partitions[0].stages.scorer.with_cohort
    assert levels.cohort.shape[0] == 3
    assert levels.cohort[0, 0] > 30  # entities
    assert after.shard.canonical() == whole.shard.canonical()
    joined = {name: sorted(before.outputs()[name] + records) for name, records in after.outputs().items()}
    assert joined == whole.outputs()


def test_what_is_known_of_all_entities_together_is_undone_with_the_other_learning():
    run = Run().feed(crowd(0))
    stages = run.shard.partitions[0].stages
    [levels] = stages.scorer.with_cohort
    state = levels.cohort.copy()
    with stages.learning_undone(np.arange(3), np.full(3, -1)):
        run.shard.process(crowd(1).take(np.arange(20)))
        assert not np.array_equal(stages.scorer.with_cohort[0].cohort, state)
    assert stages.scorer.with_cohort == [levels]
    assert np.array_equal(levels.cohort, state)


@hypothesis.settings(max_examples=6)
@example([], 300)
@given(cuts, st.integers(1, 599))
def test_the_profile_of_the_day_is_learned_again_to_equal_bytes(where, stop):
    random = np.random.default_rng(0)
    hours = np.arange(600) // 3 / 2  # three entities send each half an hour, for some four days
    values = 10 + 3 * np.sin(2 * np.pi * hours / 24) + 0.1 * random.normal(size=600)
    values[450:510] += np.where(np.arange(60) % 3 == 0, 9.0, 0.0)  # an incident, whose events are quarantined
    raw = batch(
        [{"entity": f"e{i % 3}", "x": x} for i, x in enumerate(values.tolist())], stamps=START + hours * 3_600_000
    )
    first, rest = raw.take(np.arange(stop)), raw.take(np.arange(stop, len(raw)))
    whole, before = Run().feed(raw), Run().feed(first, where)
    after = Run(saved=before.saved).feed(rest, where)
    assert any("time of day" in json.loads(text)["detectors"] for _, text in whole.scores)
    assert after.shard.canonical() == whole.shard.canonical()
    assert sorted(before.scores + after.scores) == sorted(whole.scores)


@given(st.integers(0, 20), cuts)
def test_every_offset_ends_in_exactly_one_place(seed, where):
    raw = stream(seed=seed, partitions=3)
    run = Run().feed(raw, where)
    places = []
    for _, text in [*run.scores, *run.dead, *run.late]:
        record = json.loads(text)
        places.append((record["partition"], record["offset"]))
    assert sorted(places) == sorted(zip(raw.partitions.tolist(), raw.offsets.tolist(), strict=True))
    counted = [run.counts.get(what, 0) for what in ("scored", "unjudged", "late")]
    assert sum(counted) + len(run.dead) == run.counts["events"] == len(raw)
    assert min(len(run.scores), len(run.dead)) > 0


def test_the_stream_of_these_tests_contains_every_kind_of_result():
    states = {
        json.loads(text)["data"]["state"] for seed in range(6) for _, text in Run().feed(stream(seed=seed)).alerts
    }
    run = Run().feed(stream(seed=1))
    assert states == {"opened", "updated", "resolved"}
    assert run.late
    assert {json.loads(text)["reason"] for _, text in run.dead} == {"not_json", "no_entity"}
    notices = [json.loads(text) for _, text in run.notices]
    assert ("io.streamgauge.schema.added", "later") in [(event["type"], event["subject"]) for event in notices]


@given(st.integers(0, 5))
def test_the_same_stream_gives_the_same_bytes(seed):
    raw = stream(seed=seed)
    assert Run().feed(raw).saved == Run().feed(raw).saved


def test_scores_run_from_0_to_1():
    records = [json.loads(text) for _, text in Run().feed(stream()).scores]
    values = [record["score"] for record in records if "unjudged" not in record]
    assert min(values) >= 0
    assert max(values) <= 1
    assert max(values) > 0.6


def test_partitions_do_not_influence_each_other():
    raw = stream(partitions=2)
    both = Run().feed(raw)
    for p in (0, 1):
        alone = Run().feed(raw.take(np.flatnonzero(raw.partitions == p)))
        assert alone.shard.canonical()[p] == both.shard.canonical()[p]


def test_an_entity_that_sent_nothing_for_too_long_starts_from_the_beginning():
    settings = SMALL.model_copy(update={"entity": SMALL.entity.model_copy(update={"forget_after": 60_000})})
    near = batch([{"entity": "a", "x": float(i % 3)} for i in range(30)], stamps=START + 10_000 * np.arange(30))
    far = batch([{"entity": "a", "x": 50.0}], offset=30, stamps=[near.stamps[-1] + 60_001])
    in_time = batch([{"entity": "a", "x": 50.0}], offset=30, stamps=[near.stamps[-1] + 60_000])
    seen = {}
    for name, last in (("far", far), ("in time", in_time)):
        run = Run(settings).feed(near)
        run.take(run.shard.process(last))
        store = run.shard.partitions[0].stages.entities.store
        seen[name] = int(store.head[store.index["a"], 0])
    assert seen == {"far": 1, "in time": 31}


def test_an_entity_that_starts_from_the_beginning_again_and_again_is_one_of_the_peers():
    random, places = np.random.default_rng(0), np.arange(1200)
    settings = PipelineSettings.model_validate({"entity": {"forget_after": "1h"}})
    events = [{"entity": f"e{i % 3}", "x": float(random.normal())} for i in places]
    run = Run(settings).feed(batch(events, stamps=START + 1000 * places + 5 * 3_600_000 * (places // 300)))
    peers = run.shard.partitions[0].stages.scorer.detectors.peers
    assert peers.level.entities == peers.strays.entities == 3


@given(st.integers(1, 899), st.lists(st.integers(1, 899), max_size=8))
def test_slots_of_forgotten_entities_are_given_to_others_whatever_the_restarts(stop, where):
    random = np.random.default_rng(0)
    events = [{"entity": f"{'old' if i < 300 else 'new'}{i % 5}", "x": float(random.normal())} for i in range(900)]
    pause = np.where(np.arange(900) < 300, 0, 40 * 86_400_000)
    raw = batch(events, stamps=START + 1000 * np.arange(900) + pause)
    first, rest = raw.take(np.arange(stop)), raw.take(np.arange(stop, 900))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knowledge, "COUNT_EVERY", LOOK_EVERY)
        patch.setattr(knowledge, "SWEEP_EVERY", LOOK_EVERY)
        whole = Run(TIGHT).feed(raw, where)
        before = Run(TIGHT).feed(first, where)
        after = Run(TIGHT, before.saved).feed(rest, [w - stop for w in where])
    assert whole.counts["entities_forgotten"] == 5
    assert whole.shard.entities == {"entities": 5, "rich_entities": 3, "warm_entities": 0}
    assert after.shard.canonical() == whole.shard.canonical()
    assert sorted(before.scores + after.scores) == sorted(whole.scores)


def test_a_rich_detector_runs_only_on_its_kinds_of_streams_even_if_another_runs():
    chosen = {"value_novelty": {"streams": ["series"]}, "shape_dictionary": {"samples": 4, "warmup": 5}}
    only = DetectorSettings.model_validate(dict.fromkeys(DetectorSettings.model_fields) | chosen)
    run = Run(SMALL.model_copy(update={"detectors": only})).feed(stream(fields=2))
    detectors = {name for _, text in run.scores for name in json.loads(text)["detectors"]}
    assert detectors == {"shape_dictionary"}


@given(st.integers(1, 399), st.integers(1, 399), st.integers(0, 5), widths)
@example(150, 150, 0, 1)  # no event between the change of the detectors and the way back
def test_other_detectors_begin_anew_and_the_way_back_does_too(one, other, seed, fields):
    raw = stream(seed=seed, fields=fields, partitions=2)
    one, other = sorted((one, other))
    changed = TIGHT.model_copy(update={"detectors": TIGHT.detectors.model_copy(update={"half_space_trees": None})})
    first = Run(TIGHT).feed(raw.take(np.arange(one)))
    second = Run(changed, first.saved).feed(raw.take(np.arange(one, other)), range(0, 400, 50))
    third = Run(TIGHT, second.saved).feed(raw.take(np.arange(other, len(raw))), range(0, 400, 50))
    restarted = Run(TIGHT, third.saved)
    assert restarted.shard.canonical() == third.shard.canonical()
    whole = Run(TIGHT).feed(raw)
    for name in ("dead", "late"):
        assert sorted(getattr(first, name) + getattr(second, name) + getattr(third, name)) == sorted(
            getattr(whole, name)
        )
    seen = [
        {name: run.shard.partitions[p].stages.entities.store.head[row, SEEN] for name, row in index.items()}
        for run in (third, whole)
        for p in sorted(run.shard.partitions)
        for index in [run.shard.partitions[p].stages.entities.store.index]
    ]
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :]


def test_a_notice_and_the_log_say_once_that_detectors_begin_anew(caplog):
    raw = stream(n=60)
    saved = Run().feed(raw.take(np.arange(50))).saved
    other = SMALL.model_copy(update={"detectors": SMALL.detectors.model_copy(update={"half_space_trees": None})})
    run = Run(other, saved)
    assert "partition 0: detectors and calibrators begin anew (gone: half_space_trees)" in caplog.text
    run.feed(raw.take(np.arange(50, 60)), [5])
    [(key, text)] = [notice for notice in run.notices if b"detectors.restarted" in notice[1]]
    data = json.loads(text)["data"]
    assert (key, data["topic"], data["partition"]) == ("events", "events", 0)
    assert set(data["before"]) - set(data["now"]) == {"half_space_trees"}
    assert "begin anew (gone: half_space_trees)" in data["message"]
    caplog.clear()
    assert Run(other, run.saved).shard.canonical() == run.shard.canonical()
    assert caplog.text == ""


def test_state_with_a_missing_part_is_refused():
    saved = Run().feed(stream(n=50)).saved
    del saved["0/m"]
    with pytest.raises(StateError, match="incomplete"):
        Run(saved=saved)


def test_a_rule_from_a_control_message_alerts_at_once_and_is_named():
    run = Run()
    run.shard.apply(parse('{"type":"rules","rules":[{"id":"age","when": "age < 0"}]}'))
    run.feed(batch([{"entity": "a", "age": 3}, {"entity": "b", "age": -1}]))
    [(key, text)] = run.alerts
    data = json.loads(text)["data"]
    assert (key, data["kind"], data["rules"], data["severity"]) == ("b", "conditional", ["age"], "high")
    assert run.counts["alerts.opened"] == run.counts["alerts.conditional"] == 1


def test_a_threshold_from_a_control_message_replaces_that_of_the_settings():
    raw = stream(seed=3)
    strict = Run()
    strict.shard.apply(parse('{"type":"threshold","value":1e-12}'))
    assert len(strict.feed(raw).alerts) < len(Run().feed(raw).alerts)


@pytest.mark.parametrize("between", [stream(seed=2).take(np.arange(200, 300)), batch([b"{broken"], offset=400)])
def test_a_new_model_version_is_named_in_alerts_and_survives_a_restart(between):
    raw = stream(seed=2)
    message = parse(
        '{"type":"detector","detector":"half_space_trees","version":"7","settings":{"n_trees":3,"window_size":20}}'
    )
    run = Run().feed(raw.take(np.arange(200)))
    run.shard.apply(message)
    run.feed(between)
    again = Run(saved=run.saved)
    again.shard.apply(message)  # it is read again at the start, and must change nothing
    rest = raw.take(np.arange(300, 400))
    assert again.feed(rest).shard.canonical() == run.feed(rest).shard.canonical()
    last = json.loads(again.alerts[-1][1])["data"]["detectors"]["half_space_trees"]
    assert last["version"] == "7"


def test_the_saved_state_does_not_grow_with_the_stream():
    random = np.random.default_rng(0)
    run = Run(SMALL.model_copy(update={"output": SMALL.output.model_copy(update={"scores": "none"})}))
    sizes = []
    for turn in range(600):
        values = [{"entity": f"e{random.integers(7)}", "x": float(random.normal())} for _ in range(50)]
        run.feed(batch(values, offset=50 * turn))
        sizes.append(sum(map(len, run.saved.values())))
    assert max(sizes[300:]) <= 1.05 * max(sizes[:300])


def test_a_wide_stream_keeps_its_columns():
    values = [{"entity": "a", **{f"f{k}": float(k + i) for k in range(512)}} for i in range(50)]
    run = Run().feed(batch(values), [20])
    assert len(run.shard.partitions[0].stages.alignment.schema.numeric) == 512
    assert run.counts["scored"] + run.counts["unjudged"] == 50


@pytest.mark.parametrize(
    "detectors", [{}, {"half_space_trees": {}}, {"rolling_z_score": None, "river_half_space_trees": {}}]
)
def test_warming_up_works_for_any_detectors_and_compiles_every_kernel(detectors):
    windows = {"hour": {"size": "1 h", "every": "10 m", "aggregates": {"x": ["mean"]}}}
    warm_up(PipelineSettings.model_validate({"detectors": detectors, "windows": windows}), Models(ModelsSettings()))
    if "half_space_trees" in detectors:
        from streamgauge.models.detectors.cohort import half_space_trees as trees
        from streamgauge.udfs.entities import entity_store
        from streamgauge.udfs.incidents import lifecycle
        from streamgauge.udfs.scoring import normalise
        from streamgauge.udfs.windows import aggregate

        kernels = (
            trees._score,
            trees._score_count,
            trees._close_counted,
            entity_store._touch,
            lifecycle._follow,
            normalise._featurize,
            aggregate._count,
            aggregate._group,
        )
        assert all(kernel.signatures for kernel in kernels)


def test_weights_from_a_control_message_replace_those_of_the_settings_and_survive_a_restart():
    raw = stream(seed=4)
    message = parse('{"type":"weights","weights":{"loda":9,"online_isolation_forest":0.1}}')
    plain, run = Run().feed(raw), Run().feed(raw.take(np.arange(100)))
    run.shard.apply(message)
    run.feed(raw.take(np.arange(100, 300)))
    again = Run()
    again.shard.apply(message)  # read at the start, before the state is restored
    again.shard.restore(run.saved.items())
    again.saved = dict(run.saved)
    rest = raw.take(np.arange(300, 400))
    assert again.feed(rest).shard.canonical() == run.feed(rest).shard.canonical()
    assert sorted(run.scores) != sorted(plain.scores)
    with pytest.raises(SettingsError, match=r"'lodaa' is not used by this job; used are: .*rolling_z_score"):
        run.shard.apply(parse('{"type":"weights","weights":{"lodaa":1}}'))


@pytest.mark.parametrize("method", ["mean", "vote", "consensus"])
def test_every_way_to_combine_finds_the_spikes_whatever_the_batches(method):
    chosen = SMALL.model_copy(update={"ensemble": EnsembleSettings(method=method)})
    random = np.random.default_rng(0)
    events = [{"entity": f"e{i % 2}", "x": float(random.normal()), "y": float(random.normal())} for i in range(900)]
    for i, far in ((700, 60.0), (800, -90.0)):
        events[i] |= {"x": far, "y": -far}
    whole, cut = Run(chosen).feed(batch(events)), Run(chosen).feed(batch(events), [1, 99, 701, 705])
    assert whole.outputs() == cut.outputs()
    scores = np.array([json.loads(text)["score"] for _, text in whole.scores])
    assert {700, 800} <= set(np.argsort(-scores[200:])[:12] + 200)


@hypothesis.settings(max_examples=5)
@given(cuts, st.integers(1, 2999))
def test_a_stream_that_is_known_is_scored_the_same_whatever_the_batches(where, stop):
    random = np.random.default_rng(0)
    raw = batch([{"entity": f"e{i % 7}", "x": float(random.normal()), "y": i % 50 + 0.5} for i in range(3000)])
    settings = SMALL.model_copy(update={"track": 600})  # no multiple of the events between two looks
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_kind, "KNOWN", LOOK_EVERY)
        whole, cut = Run(settings).feed(raw), Run(settings).feed(raw, where)
        before = Run(settings).feed(raw.take(np.arange(stop)))
        after = Run(settings, before.saved).feed(raw.take(np.arange(stop, 3000)))
    assert cut.shard.canonical() == after.shard.canonical() == whole.shard.canonical()
    assert sorted(cut.scores) == sorted(before.scores + after.scores) == sorted(whole.scores)
    assert sum(b"io.streamgauge.tracked" in text for _, text in whole.notices) == 5


@hypothesis.settings(max_examples=5)
@given(cuts, st.integers(1, 2999))
def test_a_flood_of_new_entities_stays_within_the_cap_whatever_the_batches(where, stop):
    settings = SMALL.model_copy(update={"entity": SMALL.entity.model_copy(update={"most": 1000})})
    raw = batch([{"entity": f"e{i}", "x": float(i % 7)} for i in range(3000)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knowledge, "COUNT_EVERY", LOOK_EVERY)
        whole, cut = Run(settings).feed(raw), Run(settings).feed(raw, where)
        before = Run(settings).feed(raw.take(np.arange(stop)))
        after = Run(settings, before.saved).feed(raw.take(np.arange(stop, 3000)))
    assert whole.counts["entities_evicted"] == 3000 - whole.shard.entities["entities"]
    assert whole.shard.entities["entities"] <= 1000
    assert cut.shard.canonical() == after.shard.canonical() == whole.shard.canonical()


@hypothesis.settings(max_examples=5)
@given(cuts, st.integers(401, 2999))
def test_weights_move_in_steps_whatever_the_batches_and_restarts(where, stop):
    raw, message = stream(n=3000, seed=5), parse('{"type": "weights", "weights": {"rolling_z_score": 9}}')
    head, tail = raw.take(np.arange(400)), raw.take(np.arange(400, 3000))
    whole, cut, before = (Run(SMALL).feed(head) for _ in range(3))
    for run in (whole, cut, before):
        run.shard.apply(message)
    calibrators = whole.shard.partitions[0].stages.scorer.calibrators
    place, seen = calibrators.of.names.index("rolling_z_score"), []
    for begin in range(0, 2600, 100):
        whole.feed(tail.take(np.arange(begin, begin + 100)))
        seen.append(float(calibrators.weights[place]))
    assert 1.0 < seen[3] < seen[8] < 9.0
    assert seen == sorted(seen)
    cut.feed(tail, where)
    before.feed(tail.take(np.arange(stop - 400)))
    after = Run(SMALL)
    after.shard.apply(message)  # read again at the start
    after.shard.restore(before.saved.items())
    after.saved = dict(before.saved)
    after.feed(tail.take(np.arange(stop - 400, 2600)))
    assert cut.shard.canonical() == after.shard.canonical() == whole.shard.canonical()


def test_weights_reach_the_wanted_values():
    raw = stream(n=6400, seed=5)
    run = Run(SMALL).feed(raw.take(np.arange(400)))
    run.shard.apply(parse('{"type": "weights", "weights": {"rolling_z_score": 9}}'))
    run.feed(raw.take(np.arange(400, 6400)))
    calibrators = run.shard.partitions[0].stages.scorer.calibrators
    assert calibrators.weights[calibrators.of.names.index("rolling_z_score")] == 9.0


@hypothesis.settings(max_examples=5)
@example([], 559)  # the quarantine of an entity begins in the middle of a batch
@example([], 1300)  # a third field comes in the middle of a batch
@example([], 1302)  # the state is saved right after the first event with a third field
@given(cuts, st.integers(1, 1999))
def test_the_level_of_peers_does_not_depend_on_batches_even_if_entities_are_added(where, stop):
    random = np.random.default_rng(0)
    raw = SMALL.model_dump(mode="json")
    quick = {"streams": ["fields", "records"], "warmup": 10}
    raw["detectors"] |= {"seasonal_profile": quick, "peer_deviation": quick}
    settings = PipelineSettings.model_validate(raw)
    shared = np.sin(np.arange(2000) / 60)
    events = [
        {
            "entity": f"e{random.integers(9 + i // 40)}",
            "x": 9 + shared[i] + 0.1 * random.normal(),
            "y": float(shared[i]),
            **({"z": float(shared[i])} if i >= 1301 else {}),
        }
        for i in range(2000)
    ]
    stamps = START // 3_600_000 * 3_600_000 + np.arange(2000)
    whole, cut = (
        Run(settings).feed(batch(events, stamps=stamps)),
        Run(settings).feed(batch(events, stamps=stamps), where),
    )
    before = Run(settings).feed(batch(events, stamps=stamps).take(np.arange(stop)))
    after = Run(settings, before.saved).feed(batch(events, stamps=stamps).take(np.arange(stop, 2000)))
    assert any("peer_deviation" in json.loads(text)["detectors"] for _, text in whole.scores)
    assert cut.outputs() == whole.outputs()
    assert cut.shard.canonical() == after.shard.canonical() == whole.shard.canonical()
