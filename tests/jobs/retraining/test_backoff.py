"""After a rejection the trainer waits; the tests set its clock."""

from __future__ import annotations

from streamgauge.jobs.retraining.backoff import FIRST_WAIT, LONGEST_WAIT, REMEMBERED
from streamgauge.jobs.studies.train import train
from streamgauge.models.errors import NotReadyError

from tests.jobs.retraining.in_memory import InMemory, compared, past, requested, shadowed


def rejected(trainer):
    """A trainer whose first candidate became the shadow, and was then rejected."""
    shadowed(trainer).handle(compared(1, 2, alerts=(20, 30)))
    assert trainer.registry.versions("m") == [1, 2]
    return trainer


def advance(trainer, seconds):
    trainer.now += seconds
    trainer.answer_due()


def test_after_a_rejection_the_newest_request_is_answered_when_the_wait_is_over(trainer):
    rejected(trainer)
    for began in (900, 950):
        trainer.handle(requested(began=began))
    assert [step for step, _ in trainer.steps] == ["rejected", "deferred", "deferred"]
    assert trainer.steps[-1][1]["why"] == "waits 60 s after 1 rejected answer"
    advance(trainer, FIRST_WAIT / 1000 - 1)
    assert trainer.registry.versions("m") == [1, 2]
    advance(trainer, 1)
    assert trainer.registry.versions("m") == [1, 2, 3]
    assert trainer.registry.manifest("m", 3).request == "m/1/inputs/0/950"
    assert trainer.sent[-1] == ("shadow", 3)
    advance(trainer, 1e6)
    assert trainer.registry.versions("m") == [1, 2, 3]


def test_another_partition_that_asks_after_a_rejection_gets_a_new_version_too(trainer):
    rejected(trainer).handle(requested(partition=1, began=50))
    assert trainer.steps[-1][0] == "deferred"
    advance(trainer, FIRST_WAIT / 1000)
    assert trainer.registry.manifest("m", 3).request == "m/1/inputs/1/50"


def test_the_request_whose_answer_was_rejected_is_not_answered_again(trainer):
    rejected(trainer)
    advance(trainer, 1e5)
    trainer.handle(requested())
    assert (trainer.registry.versions("m"), trainer.steps[-1][0]) == ([1, 2], "rejected")


def test_each_rejection_doubles_the_wait_up_to_a_day_and_a_success_ends_it(trainer):
    rejected(trainer)
    waits = []
    for k in range(13):
        waits.append(trainer.backoff.seconds_left("m"))
        advance(trainer, waits[-1])
        trainer.handle(requested(began=1000 + k))
        trainer.handle(compared(1, 3 + k, alerts=(20, 30)))
    assert waits == [min(FIRST_WAIT * 2**k, LONGEST_WAIT) / 1000 for k in range(13)]
    advance(trainer, waits[-1])
    trainer.handle(requested(began=5000))
    version = trainer.registry.aliases("m")["shadow"]
    trainer.handle(compared(1, version))
    trainer.handle(compared(version, 1))
    assert trainer.steps[-1][0] == "settled"
    assert trainer.backoff.rejections("m") == 0
    trainer.handle(requested(version, began=9000))
    assert trainer.steps[-1][0] == "shadowed"


def test_a_version_that_is_rolled_back_makes_the_trainer_wait(trainer):
    shadowed(trainer).handle(compared(1, 2))
    trainer.handle(compared(2, 1, alerts=(60, 3), events=2000))
    trainer.handle(requested(began=900))
    assert [step for step, _ in trainer.steps] == ["promoted", "rolled_back", "deferred"]


def test_a_training_that_failed_makes_the_trainer_wait(trainer):
    usual, trainer.data = trainer.data, NotReadyError("the history is too short")
    trainer.handle(requested())
    trainer.data = usual
    trainer.handle(requested(began=900))
    assert [step for step, _ in trainer.steps] == ["failed", "deferred"]
    advance(trainer, FIRST_WAIT / 1000)
    assert trainer.steps[-1][0] == "shadowed"


def test_the_wait_and_the_deferred_request_survive_a_restart(trainer, tmp_path):
    rejected(trainer).handle(requested(began=900))
    again = InMemory(tmp_path)
    again.notices, again.now = trainer.notices, trainer.now + 10
    again.recall()
    assert again.backoff.seconds_left("m") == FIRST_WAIT / 1000 - 10
    again.answer_due()
    assert again.registry.versions("m") == [1, 2]
    advance(again, FIRST_WAIT / 1000)
    assert again.registry.manifest("m", 3).request == "m/1/inputs/0/900"
    later = InMemory(tmp_path)
    later.notices, later.now = [*trainer.notices, *again.notices], again.now
    later.recall()
    assert later.backoff.due() == []


def test_a_deferred_request_survives_however_long_the_trainer_was_down(trainer, tmp_path):
    rejected(trainer).handle(requested(began=900))
    again = InMemory(tmp_path)
    again.notices, again.now = trainer.notices, trainer.now + 2 * REMEMBERED / 1000
    again.recall()
    again.answer_due()
    assert again.registry.manifest("m", 3).request == "m/1/inputs/0/900"
    assert again.registry.waiting("m") is None
    later = InMemory(tmp_path)
    later.now = again.now
    later.recall()
    assert later.backoff.due() == []


def test_a_request_that_needs_no_answer_any_more_is_not_kept(trainer, tmp_path):
    rejected(trainer).handle(requested(began=900))
    assert trainer.registry.waiting("m") == requested(began=900)["data"]
    trainer.registry.point("m", "live", 2)
    advance(trainer, FIRST_WAIT / 1000)
    assert trainer.registry.waiting("m") is None
    assert trainer.registry.versions("m") == [1, 2]


def test_other_models_do_not_wait(trainer, tmp_path):
    trainer.registry.point("n", "live", train(trainer.registry, "n", "isolation_forest", past()).version)
    request = requested()
    request["data"] |= {"model": "n", "request": "n/1/inputs/0/0"}
    rejected(trainer).handle(request)
    assert trainer.steps[-1][0] == "shadowed"


def test_metrics_count_trainings_and_rejections_and_show_the_wait(trainer):
    rejected(trainer)
    trainer.now += 20
    lines = trainer.metrics.text().splitlines()
    assert 'streamgauge_retrain_trained_total{model="m"} 1' in lines
    assert 'streamgauge_retrain_rejected_total{model="m",reason="alerts"} 1' in lines
    assert 'streamgauge_retrain_backoff_seconds{model="m"} 40.0' in lines
