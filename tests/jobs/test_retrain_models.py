"""From a request to a shadow, from a shadow to live, and back: decided by the registry and by what the job tells."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.jobs.retrain_models import Keeper
from streamgauge.jobs.settings import validated
from streamgauge.jobs.train import train
from streamgauge.models.candidate import Past
from streamgauge.models.errors import NotReadyError
from streamgauge.models.persistence.registry import Registry

START = 1_760_000_000_000


def past(n=1500, centre=0.0, seed=0):
    random = np.random.default_rng(seed)
    return Past(random.normal(centre, 1, (n, 2)), ["a", "b"], random.integers(0, 5, n), last=START + n)


class Beside(Keeper):
    """A keeper that writes down what it would send."""

    def __init__(self, folder, data=None):
        super().__init__(validated({"models": {"registry": str(folder), "use": {"m": {}}}}, "the test"))
        self.sent, self.steps, self.data = [], [], data or past(centre=2.0, seed=1)

    def send(self, message):
        self.sent.append((message.role, message.version))

    def tell(self, step, name, data):
        self.steps.append((step, data))

    def past(self, data):
        if isinstance(self.data, Exception):
            raise self.data
        return self.data


@pytest.fixture
def keeper(tmp_path):
    registry = Registry(str(tmp_path))
    registry.point("m", "live", train(registry, "m", "isolation_forest", past()).version)
    return Beside(tmp_path)


def requested(version=1, log=0, began=0):
    data = {
        "request": f"m/{version}/{log}/{began}", "model": "m", "version": version, "since": "2025-10-09T08:53:20.000Z",
        "offsets": {str(log): [began, began + 100]},
    }  # fmt: skip
    return {"type": "io.streamgauge.retrain.requested", "data": data}


def compared(live, shadow, alerts=(0, 0), right=(40, 40), events=10_000, probes=100):
    data = {
        "model": "m", "live": live, "shadow": shadow, "threshold": 1e-4, "events": events, "both": 0, "only_live": alerts[0],
        "only_shadow": alerts[1], "probes": probes, "live_right": right[0], "shadow_right": right[1],
    }  # fmt: skip
    return {"type": "io.streamgauge.model.compared", "data": data}


def shadowed(keeper):
    keeper.take(requested())
    keeper.sent.clear()
    keeper.steps.clear()
    return keeper


def test_a_request_is_answered_by_a_version_that_is_the_shadow_then(keeper):
    keeper.take(requested())
    assert [step for step, _ in keeper.steps] == ["trained", "shadowed"]
    assert keeper.sent == [("shadow", 2)]
    assert keeper.registry.aliases("m") == {"candidate": 2, "live": 1, "shadow": 2}
    assert keeper.registry.manifest("m", 2).request == "m/1/0/0"


def test_other_partitions_and_repeats_are_answered_by_the_same_version(keeper):
    for log in (0, 1, 0):
        keeper.take(requested(log=log))
    assert keeper.registry.versions("m") == [1, 2]
    assert keeper.sent == [("shadow", 2)]


def test_killed_after_the_training_it_goes_on_with_what_was_trained(keeper):
    train(keeper.registry, "m", "isolation_forest", past(centre=2.0, seed=1), request="m/1/0/0")
    keeper.take(requested())
    assert keeper.registry.versions("m") == [1, 2]
    assert [step for step, _ in keeper.steps] == ["shadowed"]


def test_a_request_for_a_version_that_is_live_no_more_is_nothing(keeper):
    keeper.take(requested(version=7))
    assert (keeper.registry.versions("m"), keeper.sent, keeper.steps) == ([1], [], [])


def test_what_goes_wrong_is_told_and_the_loop_goes_on(keeper):
    keeper.data = NotReadyError("the history is too short")
    keeper.take(requested())
    assert keeper.steps == [("failed", {"why": "the history is too short", "request": "m/1/0/0"})]


def test_a_shadow_takes_the_place_when_it_keeps_its_promise_with_the_old_one_beside_it(keeper):
    shadowed(keeper).take(compared(1, 2, alerts=(50, 3), events=5000))
    assert keeper.sent == []
    keeper.take(compared(1, 2, alerts=(50, 3), events=5000))
    assert keeper.sent == [("live", 2), ("shadow", 1)]
    assert [step for step, _ in keeper.steps] == ["promoted"]
    aliases = keeper.registry.aliases("m")
    assert (aliases["live"], aliases["shadow"]) == (2, 1)


@pytest.mark.parametrize(
    ("alerts", "right", "why"),
    [((20, 30), (40, 40), "more alerts than promised"), ((20, 1), (80, 60), "blinder than the one at work")],
)
def test_a_shadow_that_floods_or_is_blind_is_taken_off(keeper, alerts, right, why):
    shadowed(keeper).take(compared(1, 2, alerts=alerts, right=right))
    assert keeper.sent == [("shadow", None)]
    [(step, data)] = keeper.steps
    assert (step, data["why"]) == ("rejected", why)
    assert keeper.registry.aliases("m")["live"] == 1


@pytest.mark.parametrize(("alerts", "right"), [((60, 3), (40, 40)), ((0, 0), (30, 60))])
def test_one_that_floods_or_is_blind_after_it_took_the_place_is_rolled_back(keeper, alerts, right):
    shadowed(keeper).take(compared(1, 2))
    keeper.sent.clear()
    keeper.take(compared(2, 1, alerts=alerts, right=right, events=2000))
    assert keeper.sent == [("live", 1), ("shadow", None)]
    assert [step for step, _ in keeper.steps] == ["promoted", "rolled_back"]
    assert keeper.registry.aliases("m")["live"] == 1


def test_one_that_does_well_stays_alone(keeper):
    shadowed(keeper).take(compared(1, 2))
    keeper.sent.clear()
    keeper.take(compared(2, 1))
    assert (keeper.sent, keeper.steps[-1][0]) == ([("shadow", None)], "settled")


def test_what_the_job_told_of_other_versions_does_not_count(keeper):
    shadowed(keeper).take(compared(1, 3))
    keeper.take(compared(2, 1))
    assert (keeper.sent, keeper.steps) == ([], [])


def test_a_version_that_was_taken_off_is_not_tried_again_but_who_asks_again_gets_another(keeper):
    shadowed(keeper).take(compared(1, 2, alerts=(20, 30)))
    keeper.take(requested(log=1, began=50))
    assert keeper.registry.versions("m") == [1, 2]
    keeper.take(requested(began=900))
    assert keeper.registry.versions("m") == [1, 2, 3]
    assert keeper.sent[-1] == ("shadow", 3)


def test_killed_between_alias_and_message_it_tells_the_jobs_again(keeper):
    shadowed(keeper).registry.point("m", "live", 2)
    keeper.reconcile()
    assert keeper.sent == [("live", 2), ("shadow", None)]
    keeper.registry.point("m", "live", 1)
    keeper.sent.clear()
    keeper.reconcile()
    assert keeper.sent == [("live", 1), ("shadow", 2)]
