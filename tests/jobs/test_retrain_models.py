"""From a request to a shadow, from a shadow to live, and back: the registry and the job's reports decide."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from streamgauge.jobs.retraining import rating
from streamgauge.jobs.retraining.rating import Comparison
from streamgauge.jobs.studies.train import train
from streamgauge.models.detectors.fitted.one_class_svm import OneClassSvm
from streamgauge.models.errors import ClusterError, NotReadyError
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.control.shares import is_canary

from tests.jobs.retraining.in_memory import START, InMemory, compared, past, requested, shadowed


@pytest.fixture
def careful(trainer, tmp_path):
    """A trainer with the canary step switched on, and a version that has just become the canary."""
    careful = InMemory(tmp_path, canary=0.25)
    careful.handle(requested())
    careful.handle(compared(1, 2))
    return careful


def test_a_request_is_answered_by_a_version_that_becomes_the_shadow(trainer):
    trainer.handle(requested())
    assert [step for step, _ in trainer.steps] == ["trained", "shadowed"]
    assert trainer.sent == [("shadow", 2)]
    assert trainer.registry.aliases("m") == {"candidate": 2, "live": 1, "shadow": 2}
    assert trainer.registry.manifest("m", 2).request == "m/1/inputs/0/0"


def test_other_partitions_and_repeats_are_answered_by_the_same_version(trainer):
    for partition in (0, 1, 0):
        trainer.handle(requested(partition=partition))
    assert trainer.registry.versions("m") == [1, 2]
    assert trainer.sent == [("shadow", 2)]


def test_all_shards_of_entities_are_answered_by_one_version_until_it_is_rejected(trainer):
    for began in (0, 7, 30):
        trainer.handle(requested(partition=-1, began=began))
    assert (trainer.registry.versions("m"), trainer.sent) == ([1, 2], [("shadow", 2)])
    trainer.handle(compared(1, 2, alerts=(0, 900)))
    trainer.now += 86_400
    trainer.handle(requested(partition=-1, began=60))
    assert trainer.registry.versions("m") == [1, 2, 3]


def test_killed_after_the_training_it_continues_with_the_trained_version(trainer):
    moved = past(centre=2.0, seed=1)
    train(trainer.registry, "m", "isolation_forest", moved, {"n_trees": 20}, request="m/1/inputs/0/0")
    trainer.handle(requested())
    assert trainer.registry.versions("m") == [1, 2]
    assert [step for step, _ in trainer.steps] == ["shadowed"]


def test_a_request_for_a_version_that_is_no_longer_live_does_nothing(trainer):
    trainer.handle(requested(version=7))
    assert (trainer.registry.versions("m"), trainer.sent, trainer.steps) == ([1], [], [])


def test_contaminated_events_are_left_out_of_the_training_and_the_manifest_says_so(trainer):
    strange = np.random.default_rng(2).random(len(trainer.data.X)) < 0.1
    trainer.data.X[strange, 0] += 80.0
    trainer.handle(requested())
    step, figures = trainer.steps[0]
    assert (step, figures["reason"], figures["rows"]) == ("trained", "inputs", int((~strange).sum()))
    assert figures["data"]["far"] == pytest.approx(strange.mean(), abs=1e-4)
    history = trainer.registry.manifest("m", 2).history
    assert history.high[0] < 40
    assert history.left_out == f"{strange.mean():.1%} far from the rest"


def test_data_that_are_mostly_copies_are_refused_and_the_live_version_stays(trainer):
    trainer.data.X[500:] = trainer.data.X[np.arange(500, 1500) % 500]
    trainer.handle(requested())
    [(step, data)] = trainer.steps
    assert step == "failed"
    assert "67% of the events are copies of others" in data["why"]
    assert trainer.registry.versions("m") == [1]


@pytest.mark.parametrize("fields", [["a"], ["c", "a"]])
def test_a_model_is_trained_again_after_one_of_its_fields_has_vanished(trainer, fields):
    trainer.data = replace(trainer.data, X=trainer.data.X[:, : len(fields)], features=fields)
    trainer.handle(requested())
    assert [step for step, _ in trainer.steps] == ["trained", "shadowed"]
    assert trainer.registry.manifest("m", 2).features == fields


def test_a_failure_is_reported_and_the_trainer_goes_on(trainer):
    trainer.data = NotReadyError("the history is too short")
    trainer.handle(requested())
    figures = {"why": "the history is too short", "request": "m/1/inputs/0/0", "rejections": 1}
    assert trainer.steps == [("failed", figures)]


def test_a_shadow_that_keeps_the_promise_becomes_live_and_the_old_version_its_shadow(trainer):
    shadowed(trainer).handle(compared(1, 2, alerts=(50, 3), events=5000))
    assert trainer.sent == []
    trainer.handle(compared(1, 2, alerts=(50, 3), events=5000))
    assert trainer.sent == [("live", 2), ("shadow", 1)]
    assert [step for step, _ in trainer.steps] == ["promoted"]
    aliases = trainer.registry.aliases("m")
    assert (aliases["live"], aliases["shadow"]) == (2, 1)


@pytest.mark.parametrize(
    ("probes", "right", "at_once"), [(100, (30, 70), True), (100, (45, 60), False), (40, (0, 40), False)]
)
def test_a_shadow_that_surely_finds_more_probes_becomes_live_early(trainer, probes, right, at_once):
    shadowed(trainer).handle(compared(1, 2, right=right, events=2000, probes=probes))
    assert [step for step, _ in trainer.steps] == ["promoted"] * at_once


def test_a_shadow_that_finds_more_because_it_alerts_at_everything_is_rejected(trainer):
    shadowed(trainer).handle(compared(1, 2, alerts=(0, 40), right=(10, 90), events=2000))
    assert [step for step, _ in trainer.steps] == ["rejected"]


@pytest.mark.parametrize(
    ("alerts", "right", "why"),
    [
        ((20, 30), (40, 40), "it raises more alerts than promised"),
        ((20, 1), (80, 60), "it finds fewer probes than the live version"),
    ],
)
def test_a_shadow_with_too_many_alerts_or_too_few_probes_found_is_rejected(trainer, alerts, right, why):
    shadowed(trainer).handle(compared(1, 2, alerts=alerts, right=right))
    assert trainer.sent == [("shadow", None)]
    [(step, data)] = trainer.steps
    assert (step, data["why"]) == ("rejected", why)
    assert trainer.registry.aliases("m")["live"] == 1


@pytest.mark.parametrize(("alerts", "right"), [((60, 3), (40, 40)), ((0, 0), (30, 60))])
def test_a_live_version_with_too_many_alerts_or_too_few_probes_found_is_rolled_back(trainer, alerts, right):
    shadowed(trainer).handle(compared(1, 2))
    trainer.sent.clear()
    trainer.handle(compared(2, 1, alerts=alerts, right=right, events=2000))
    assert trainer.sent == [("live", 1), ("shadow", None)]
    assert [step for step, _ in trainer.steps] == ["promoted", "rolled_back"]
    aliases = trainer.registry.aliases("m")
    assert (aliases["live"], aliases["shadow"]) == (1, 1)  # no shadow, as after `models rollback`


def test_a_version_that_was_rejected_as_the_canary_is_no_canary_any_more(careful):
    careful.handle(compared(1, 2, alerts=(0, 900)))
    careful.registry.point("m", "shadow", 2)
    careful.recall()
    assert careful.sent[-2:] == [("live", 1), ("shadow", 2)]


def test_a_live_version_that_does_well_loses_its_shadow(trainer):
    shadowed(trainer).handle(compared(1, 2))
    trainer.sent.clear()
    trainer.handle(compared(2, 1))
    assert (trainer.sent, trainer.steps[-1][0]) == ([("shadow", None)], "settled")


def test_a_version_that_a_person_rolled_back_answers_no_other_request(trainer):
    shadowed(trainer).handle(compared(1, 2))
    trainer.registry.make_live("m", 1, "ann", "false alerts")
    trainer.handle(requested(partition=1))
    assert trainer.registry.aliases("m")["shadow"] == 3
    trainer.handle(requested(partition=2))
    assert trainer.registry.versions("m") == [1, 2, 3]


def test_a_request_waits_while_the_live_version_may_be_rolled_back(trainer):
    """The answer would take the place of the version before as the shadow."""
    shadowed(trainer).handle(compared(1, 2, events=10_000))
    trainer.handle(requested(version=2))
    trainer.answer_due()
    why = "waits until version 2 has been compared with version 1, or no report of that comes for a day"
    assert (trainer.steps[-1][0], trainer.steps[-1][1]["why"]) == ("deferred", why)
    trainer.handle(compared(2, 1, alerts=(60, 3), events=2000))
    trainer.now += 86_400
    trainer.answer_due()
    assert [step for step, _ in trainer.steps] == ["promoted", "deferred", "rolled_back"]
    assert trainer.registry.waiting("m") is None


def test_a_request_that_waited_for_the_version_before_it_is_answered_when_the_live_version_stays(trainer):
    shadowed(trainer).handle(compared(1, 2))
    trainer.handle(requested(version=2))
    trainer.handle(compared(2, 1))
    trainer.answer_due()
    assert [step for step, _ in trainer.steps] == ["promoted", "deferred", "settled", "trained", "shadowed"]
    assert (trainer.registry.aliases("m")["shadow"], trainer.registry.waiting("m")) == (3, None)


def test_reports_about_other_versions_do_not_count(trainer):
    shadowed(trainer).handle(compared(1, 3))
    trainer.handle(compared(2, 1))
    assert (trainer.sent, trainer.steps) == ([], [])


def test_killed_between_alias_and_message_it_sends_the_roles_again(trainer):
    shadowed(trainer).registry.point("m", "live", 2)
    trainer.recall()
    assert trainer.sent == [("live", 2), ("shadow", None)]
    trainer.registry.point("m", "live", 1)
    trainer.sent.clear()
    trainer.recall()
    assert trainer.sent == [("live", 1), ("shadow", 2)]


def test_a_broker_that_goes_away_during_a_promotion_does_not_part_the_new_version_from_the_old_one(trainer):
    def away(*_):
        raise ClusterError("the broker is away")

    shadowed(trainer).send = trainer.publish = away
    with pytest.raises(ClusterError):
        trainer.handle(compared(1, 2))
    del trainer.send, trainer.publish
    trainer.recall()  # as the trainer does once the broker is back
    assert trainer.sent == [("live", 2), ("shadow", 1)]
    trainer.handle(compared(2, 1, alerts=(60, 3)))
    assert trainer.registry.aliases("m")["live"] == 1


@pytest.mark.parametrize("event", [requested(), compared(1, 2)])
def test_a_role_that_could_not_be_told_once_is_told_as_soon_as_the_broker_answers(trainer, event):
    def once(message):
        del trainer.send
        raise ClusterError("the broker has no leader")

    if event["type"].endswith("compared"):
        shadowed(trainer)
    trainer.send = once
    trainer.handle(event)
    aliases = trainer.registry.aliases("m")
    assert sorted((aliases["live"], aliases["shadow"])) == [1, 2]
    assert trainer.sent == [("live", aliases["live"]), ("shadow", aliases["shadow"])]


def test_a_rejection_that_could_not_be_told_is_no_answer_to_the_request_of_another_partition(trainer):
    def away(*_):
        raise ClusterError("the broker is away")

    shadowed(trainer).send = trainer.publish = away
    with pytest.raises(ClusterError):
        trainer.handle(compared(1, 2, alerts=(20, 30)))
    del trainer.send, trainer.publish
    trainer.recall()
    trainer.handle(compared(1, 2, alerts=(20, 30)))
    trainer.handle(requested())
    assert trainer.registry.versions("m") == [1, 2]
    trainer.handle(requested(partition=1))
    assert trainer.registry.aliases("m")["shadow"] == 3


def test_killed_between_alias_and_notice_it_tells_of_the_shadow_and_only_once(trainer):
    shadowed(trainer)
    [told] = [notice for notice in trainer.notices if notice["type"].endswith("shadowed")]
    trainer.notices.remove(told)
    trainer.backoff.forget_all()
    trainer.recall()  # as at a start
    trainer.handle(requested())
    trainer.handle(requested())
    assert [step for step, _ in trainer.steps] == ["shadowed"]
    assert trainer.steps[0][1]["request"] == told["data"]["request"]
    assert (trainer.registry.versions("m"), trainer.registry.aliases("m")["shadow"]) == ([1, 2], 2)


def test_killed_after_the_training_it_judges_on_the_same_events_as_it_would_have(trainer):
    """Events that no model is trained on do not judge it either."""
    strange = np.random.default_rng(2).random(len(trainer.data.X)) < 0.1
    trainer.data.X[strange, 0] += 80.0
    shadowed(trainer)
    [told] = [notice for notice in trainer.notices if notice["type"].endswith("shadowed")]
    trainer.notices.remove(told)
    trainer.recall()
    trainer.handle(requested())
    [(step, figures)] = trainer.steps
    assert step == "shadowed"
    for name in ("separates_planted", "live_separates_planted"):
        assert figures[name] == told["data"][name]


def judged(k, right, canary):
    """Feedback on an alert that the model agreed with, of an entity for which the canary counts, or the live version."""
    entity = next(f"e{k}-{i}" for i in range(1000) if is_canary(f"e{k}-{i}", 0.25) == canary)
    verdict = "true" if right else "false"
    return Feedback(
        alert_id=f"{k}{canary}",
        entity=entity,
        kind="point",
        tail_probability=1e-5,
        verdict=verdict,
        by="ann",
        agreed=("m",),
    )


def test_a_version_counts_for_a_few_entities_before_it_becomes_live(careful):
    assert careful.sent == [("shadow", 2), ("shadow", 2, 0.25)]
    assert [step for step, _ in careful.steps] == ["trained", "shadowed", "canary"]
    assert careful.steps[-1][1]["share"] == 0.25
    careful.handle(compared(1, 2, events=5000))
    assert len(careful.sent) == 2
    careful.handle(compared(1, 2, events=5000))
    assert careful.sent[2:] == [("live", 2), ("shadow", 1)]


@pytest.mark.parametrize(
    ("alerts", "right", "why"),
    [
        ((0, 40), (40, 40), "it raises more alerts than promised"),
        ((0, 0), (60, 30), "it finds fewer probes than the live version"),
    ],
)
def test_a_canary_that_does_not_pass_a_gate_is_rejected_at_once(careful, alerts, right, why):
    careful.handle(compared(1, 2, alerts=alerts, right=right, events=1000))
    assert careful.sent[-1] == ("shadow", None)
    assert (careful.steps[-1][0], careful.steps[-1][1]["why"]) == ("rejected", why)


@pytest.mark.parametrize(("share", "is_rejected"), [(0.3, True), (0.8, False)])
def test_a_canary_whose_alerts_people_find_false_is_rejected(careful, share, is_rejected):
    careful.feedback = [judged(k, k < 80, False) for k in range(100)] + [
        judged(k, k < 40 * share, True) for k in range(40)
    ]
    careful.handle(compared(1, 2, events=1000))
    assert (careful.sent[-1] == ("shadow", None)) == is_rejected
    if is_rejected:
        step, data = careful.steps[-1]
        assert (step, data["why"]) == ("rejected", "people find more of its alerts false")
        assert (data["judged"], data["right"], data["canary_judged"], data["canary_right"]) == (100, 80, 40, 12)


def test_few_false_alerts_of_a_canary_are_no_proof_because_each_report_is_another_look(careful):
    live = [judged(k, k < 60, False) for k in range(100)]
    for canary, is_rejected in ((10, False), (20, True)):
        careful.feedback = live + [judged(k, k < canary / 5, True) for k in range(canary)]
        careful.handle(compared(1, 2, events=1000))
        assert (careful.sent[-1] == ("shadow", None)) == is_rejected


def test_killed_while_there_is_a_canary_it_continues_with_the_canary(careful, tmp_path):
    again = InMemory(tmp_path, canary=0.25)
    again.recall()
    assert again.sent == [("live", 1), ("shadow", 2, 0.25)]
    again.handle(compared(1, 2))
    assert [step for step, _ in again.steps] == ["promoted"]


def test_each_step_reports_how_often_the_two_agree(trainer):
    event = compared(1, 2, alerts=(3, 1))
    event["data"]["both"] = 4
    shadowed(trainer).handle(event)
    assert trainer.steps[-1][1]["agreement"] == 0.5


def test_a_version_that_is_much_slower_is_rejected(tmp_path):
    """With 200 times as many trees it costs at least 10 times as much, even on a busy machine."""
    registry = Registry(str(tmp_path))
    registry.point("m", "live", train(registry, "m", "isolation_forest", past(), {"n_trees": 3}).version)
    train(registry, "m", "isolation_forest", past(centre=2.0, seed=1), {"n_trees": 600}, request="m/1/inputs/0/0")
    trainer = InMemory(tmp_path)
    trainer.handle(requested())
    step, data = trainer.steps[-1]
    assert (step, data["gate"], data["why"]) == ("rejected", "cost", "it is slower than the live version")
    assert data["us_per_event"] > 3 * data["live_us_per_event"]
    assert trainer.sent == []


@pytest.mark.parametrize(
    ("cost", "live_cost", "parse_cost", "gate"),
    [(2.9, 1.0, 1.0, None), (3.1, 1.0, 1.0, "cost"), (3.1, 1.0, 1.6, None)],
)
def test_the_cost_of_a_version_is_compared_as_a_ratio(cost, live_cost, parse_cost, gate):
    for slower in (1.0, 50.0):  # an idle machine, and a busy one
        costs = [c * slower for c in (cost, live_cost, parse_cost)]
        assert Comparison(0.9, 0.9, *costs).gate() == gate


def ring(n=1500, seed=0, reach=1.0):
    """Events on a circle. A point in its middle is anomalous, though each of its coordinates alone is usual."""
    random = np.random.default_rng(seed)
    angle = random.uniform(0, 2 * np.pi, n)
    X = np.column_stack((np.cos(angle), np.sin(angle))) * reach + random.normal(0, 0.02, (n, 2))
    return Past(X, ["a", "b"], random.integers(0, 5, n), last=START + n)


def trial(tmp_path, live="gaussian_mixture", settings=None, **options):
    """A trainer with a live version of one detector, and data that have moved."""
    registry = Registry(str(tmp_path))
    registry.point("m", "live", train(registry, "m", live, ring(), settings).version)
    trainer = InMemory(tmp_path, **options)
    trainer.data = ring(seed=1, reach=3.0)
    return trainer


def test_candidates_with_other_detectors_are_trained_too_and_the_best_becomes_the_shadow(tmp_path, monkeypatch):
    trainer = trial(tmp_path, settings={"components": 1}, candidates=["local_outlier_factor"])
    monkeypatch.setattr(rating, "SLOWER", 1e9)  # the cost must not matter in this test
    trainer.handle(requested())
    steps = [(step, data["detector"]) for step, data in trainer.steps]
    own, other = "gaussian_mixture", "local_outlier_factor"
    assert steps == [("trained", own), ("trained", other), ("rejected", own), ("shadowed", other)]
    rejected, shadowed = (data for step, data in trainer.steps if step != "trained")
    assert shadowed["separates_planted"] > rejected["separates_planted"] + 0.02
    assert trainer.sent == [("shadow", shadowed["version"])]


def test_the_detector_of_the_live_version_is_kept_unless_another_is_clearly_better(tmp_path, monkeypatch):
    trainer = trial(tmp_path, "local_outlier_factor", candidates=["isolation_forest"])
    monkeypatch.setattr(rating, "SLOWER", 1e9)  # the cost must not matter in this test
    trainer.handle(requested())
    assert trainer.steps[-1][0] == "shadowed"
    assert trainer.steps[-1][1]["detector"] == "local_outlier_factor"


def test_killed_between_two_candidates_it_trains_the_missing_one(tmp_path):
    trainer = trial(tmp_path, candidates=["isolation_forest"])
    train(trainer.registry, "m", "gaussian_mixture", trainer.data, request="m/1/inputs/0/0")
    trainer.handle(requested())
    assert [data["detector"] for step, data in trainer.steps if step == "trained"] == ["isolation_forest"]
    trainer.handle(requested(partition=1))
    assert trainer.registry.versions("m") == [1, 2, 3]


def test_a_candidate_that_cannot_be_made_or_used_is_reported_and_the_others_go_on(tmp_path):
    trainer = trial(tmp_path, candidates=["temporal_cnn"])
    trainer.handle(requested())
    [failed] = [data for step, data in trainer.steps if step == "failed"]
    assert failed["detector"] == "temporal_cnn"
    assert trainer.steps[-1][0] == "shadowed"


def test_a_candidate_whose_training_breaks_is_reported_and_the_others_go_on(tmp_path, monkeypatch):
    def breaks(*_):
        raise ValueError("the solver found nothing")

    trainer = trial(tmp_path, candidates=["one_class_svm"])
    monkeypatch.setattr(OneClassSvm, "_machine", breaks)
    trainer.handle(requested())
    assert [step for step, _ in trainer.steps] == ["trained", "failed", "shadowed"]
    assert trainer.steps[1][1]["why"] == "ValueError: the solver found nothing"


def test_a_live_version_with_a_removed_detector_is_reported(tmp_path):
    trainer = trial(tmp_path)
    path = tmp_path / "m" / "versions" / "000001.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"detector": "gan"}))
    trainer.handle(requested())
    [(step, data)] = trainer.steps
    assert step == "failed"
    assert "version 1 is a gan, which was removed (docs/adr/017)" in data["why"]


def test_a_training_that_takes_too_long_is_ended_and_reported(tmp_path):
    trainer = trial(tmp_path, live="autoencoder", settings={"epochs": 2}, time="1 ms")
    trainer.handle(requested())
    [(step, data)] = trainer.steps
    assert step == "failed"
    assert "as long as retrain.time allows" in data["why"]
    assert trainer.registry.versions("m") == [1]


def test_a_frozen_model_is_not_changed_until_it_is_thawed(careful):
    careful.registry.point("m", "frozen", 1, "an auditor", "until Friday")
    before = list(careful.sent)
    careful.handle(compared(1, 2, alerts=(0, 900)))
    careful.handle(requested(began=900))
    assert careful.sent == before
    assert careful.steps[-1] == (
        "declined",
        {"request": "m/1/inputs/0/900", "why": "frozen by an auditor: until Friday"},
    )
    careful.registry.drop("m", "frozen")
    careful.handle(compared(1, 2, alerts=(0, 900)))
    assert careful.sent[-1] == ("shadow", None)
