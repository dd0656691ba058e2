"""While a shadow is compared with the live version, requests wait, so that the comparison ends. No request waits for ever."""

from __future__ import annotations

import time

import pytest
from streamgauge.jobs.retraining.shadow_judge import SILENT

from tests.jobs.retraining.in_memory import InMemory, compared, requested


def drifted_later(partition, version=1):
    """A request of a partition whose data have drifted after the candidate was trained."""
    event = requested(version, partition, began=100 * partition)
    event["data"]["since"] = f"2025-10-10T{partition:02}:00:00Z"
    return event


@pytest.fixture
def careful(trainer, tmp_path):
    """A trainer with a canary step, whose first candidate is compared with version 1. The registry has the time of this machine."""
    careful = InMemory(tmp_path, canary=0.25)
    careful.now = time.time()
    careful.handle(requested())
    return careful


def after(trainer, seconds):
    """The shadow when so many seconds more have passed."""
    trainer.now += seconds
    trainer.answer_due()
    return trainer.registry.aliases("m")["shadow"]


def test_a_version_becomes_live_however_often_partitions_that_drift_later_ask(careful):
    for partition in range(1, 5):
        careful.handle(drifted_later(partition))
        careful.handle(compared(1, after(careful, 3600), events=5000))
    assert (careful.registry.versions("m"), careful.registry.aliases("m")["live"]) == ([1, 2], 2)
    after(careful, 1)
    assert careful.registry.waiting("m") is None


def test_a_version_becomes_live_however_often_the_partition_that_it_answers_asks_again(careful):
    for began in range(1, 5):
        careful.handle(requested(began=began))
        careful.handle(compared(1, 2, events=5000))
    assert careful.registry.aliases("m")["live"] == 2


def test_the_newest_request_is_answered_when_the_shadow_was_rejected_and_the_wait_is_over(careful):
    for partition in (1, 2):
        careful.handle(drifted_later(partition))
    why = "waits until version 1 has been compared with version 2, or no report of that comes for a day"
    assert [(step, data["why"]) for step, data in careful.steps[-2:]] == [("deferred", why)] * 2
    careful.handle(compared(1, 2, alerts=(0, 900)))
    assert after(careful, 30) == 1
    assert after(careful, 30) == 3
    assert careful.registry.manifest("m", 3).request == "m/1/inputs/2/200"


def test_no_request_waits_for_a_shadow_of_which_no_report_comes(careful):
    careful.handle(drifted_later(1))
    assert after(careful, SILENT - 60) == 2
    assert after(careful, 120) == 3


def test_a_request_waits_as_long_as_reports_come(careful):
    careful.handle(drifted_later(1))
    for _ in range(4):
        careful.handle(compared(1, 2, events=100))
        assert after(careful, SILENT - 60) == 2
    careful.handle(compared(1, 3, events=100))  # of another shadow
    assert after(careful, 120) == 3


def test_a_request_waits_for_a_shadow_that_a_person_has_chosen_and_not_for_ever_either(careful):
    careful.handle(compared(1, 2, alerts=(0, 900)))
    careful.registry.point("m", "shadow", 2, "ann", "once more")
    careful.now += 3600
    careful.handle(drifted_later(1))
    assert careful.steps[-1][0] == "deferred"
    assert after(careful, SILENT) == 3


def test_a_restart_neither_ends_the_waiting_nor_prolongs_it(careful, tmp_path):
    careful.handle(drifted_later(1))
    again = InMemory(tmp_path, canary=0.25)
    again.notices, again.now = careful.notices, careful.now + SILENT - 60
    again.recall()
    assert after(again, 0) == 2
    assert after(again, 120) == 3


def test_a_request_that_waits_is_declined_when_its_model_is_frozen_for_long(careful):
    careful.handle(drifted_later(1))
    careful.registry.point("m", "frozen", 1, "ann", "until Friday")
    careful.handle(compared(1, 2))
    assert after(careful, SILENT + 60) == 2
    assert careful.steps[-1][0] == "declined"
    assert careful.registry.waiting("m") is None
