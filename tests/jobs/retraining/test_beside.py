"""While a candidate is trained, reports are judged; requests wait on their topic, and none is lost. The topics are in memory here."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from kafka import TopicPartition
from streamgauge.jobs import retrain_models
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.retraining.candidates import _in_time
from streamgauge.jobs.studies.train import train

from tests.jobs.retraining.in_memory import InMemory, compared, past, requested, shadowed

REQUESTS, NOTICES = (TopicPartition(name, 0) for name in ("retrain-requests", "notices"))
PATIENCE = 60  # seconds after which a test goes on, so that it fails and does not hang


class Consumer:
    """A consumer of both topics of the trainer.

    Parameters
    ----------
    requests, notices : list of dict
        What is on them.
    committed : dict
        By topic, the offset from which it reads; it is kept up to date.
    ended : callable
        Called when everything was read.
    """

    def __init__(self, requests, notices, committed, ended):
        self.kept, self.committed, self.ended = {REQUESTS: requests, NOTICES: notices}, committed, ended
        self.at = {place: committed.get(place, 0) for place in self.kept}

    def poll(self, _):
        for place, events in self.kept.items():
            if self.at[place] < len(events):
                offset = self.at[place]
                self.at[place] += 1
                value = json.dumps(events[offset]).encode()
                return {place: [SimpleNamespace(topic=place.topic, partition=0, offset=offset, value=value)]}
        self.ended()
        return {}

    def commit(self, offsets):
        self.committed |= {place: of.offset for place, of in offsets.items()}


class Held(InMemory):
    """A trainer whose trainings wait for events until they are let go on."""

    def __init__(self, folder, **retrain):
        super().__init__(folder, **retrain)
        self.go_on, self.begun = threading.Event(), []

    def past(self, request, stop, unfinished):
        self.begun.append(request["request"])
        while not self.go_on.wait(0.01):
            if stop and stop.is_set():
                raise SystemExit
        return super().past(request, stop, unfinished)


@pytest.fixture
def run(monkeypatch):
    """Let a trainer follow what is on its topics until there is nothing to do. Returns the offsets that it committed."""
    monkeypatch.setattr(retrain_models, "IDLE", 0.2)

    def follow(trainer, requests, notices=(), committed=None, ended=lambda: None):
        committed = {} if committed is None else committed
        consumer = Consumer(list(requests), list(notices), committed, ended)
        monkeypatch.setattr(clients, "consumer", lambda *_, **__: contextlib.nullcontext(consumer))
        guard = threading.Timer(PATIENCE, trainer.go_on.set)
        guard.start()
        try:
            trainer.trainer.run(once=True)
        finally:
            guard.cancel()
        return committed

    return follow


@pytest.fixture
def held(trainer, tmp_path):
    return Held(tmp_path)


@pytest.fixture
def of_n(trainer):
    """A request for another model, which has a live version."""
    trainer.registry.point("n", "live", train(trainer.registry, "n", "isolation_forest", past()).version)
    request = requested()
    request["data"] |= {"model": "n", "request": "n/1/inputs/0/0"}
    return request


def test_a_bad_live_version_is_rolled_back_while_another_model_is_trained(trainer, run, tmp_path, of_n):
    shadowed(trainer).handle(compared(1, 2))
    held, committed, meanwhile = Held(tmp_path, models={"m": {}, "n": {}}), {}, []

    def ended():
        meanwhile.append(([step for step, _ in held.steps], dict(committed)))
        held.go_on.set()

    run(held, [of_n], [compared(2, 1, alerts=(60, 3), events=2000)], committed, ended)
    assert meanwhile[0] == (["rolled_back"], {REQUESTS: 0, NOTICES: 1})
    assert committed == {REQUESTS: 1, NOTICES: 1}
    assert [step for step, _ in held.steps] == ["rolled_back", "trained", "shadowed"]
    assert held.registry.aliases("m") | {"candidate": 0} == {"live": 1, "shadow": 1, "candidate": 0}


def test_requests_are_answered_one_after_the_other_and_then_committed(held, run, of_n):
    committed = run(held, [requested(), requested(partition=1), of_n], ended=held.go_on.set)
    assert committed[REQUESTS] == 3
    assert held.begun == ["m/1/inputs/0/0", "n/1/inputs/0/0"]
    assert (held.registry.versions("m"), held.registry.versions("n")) == ([1, 2], [1, 2])


def test_while_many_requests_wait_no_more_messages_are_read(held, run, of_n, monkeypatch):
    monkeypatch.setattr(retrain_models, "MOST_WAITING", 2)
    judged_after_the_training = []
    monkeypatch.setattr(held.shadows, "judge", lambda _: judged_after_the_training.append(held.go_on.is_set()))
    threading.Timer(0.5, held.go_on.set).start()
    run(held, [requested(), of_n], [compared(1, 1), compared(1, 1)])
    assert judged_after_the_training == [True, True]


def test_a_request_that_has_waited_is_trained_for_once(held, run):
    held.reports.defer("m", requested()["data"], "waits")
    run(held, [], ended=held.go_on.set)
    assert (held.begun, held.registry.waiting("m")) == (["m/1/inputs/0/0"], None)


def test_the_registry_is_not_asked_at_each_message_whether_a_request_still_waits(held, run, monkeypatch):
    def compared_with(*_):
        asked.append(True)
        return 2

    asked = []
    monkeypatch.setattr(held.shadows, "compared_with", compared_with)
    held.reports.defer("m", requested()["data"], "waits")
    committed = run(held, [], [compared(1, 2)] * 20)
    assert (len(asked), committed[NOTICES]) == (1, 20)


def test_a_stop_ends_the_training_too_and_the_next_trainer_answers_the_request(held, run, tmp_path):
    committed = {}

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(held, [requested()], [compared(1, 1)], committed, stop)
    assert held.trainer.has_trained()
    assert (held.steps, held.registry.versions("m"), committed) == ([], [1], {REQUESTS: 0, NOTICES: 1})
    again = Held(tmp_path)
    run(again, [requested()], [compared(1, 1)], committed, again.go_on.set)
    assert [step for step, _ in again.steps] == ["trained", "shadowed"]
    assert committed == {REQUESTS: 1, NOTICES: 1}


def test_a_training_ends_at_its_next_step_when_the_trainer_stops():
    stop = threading.Event()
    progress = _in_time(60_000, "isolation_forest", lambda _: None, stop)
    progress("growing trees", 0.0)
    stop.set()
    with pytest.raises(SystemExit):
        progress("growing trees", 0.5)


@pytest.mark.parametrize(("alias", "steps"), [("frozen", ["declined"]), ("live", [])])
def test_a_model_that_is_changed_while_it_is_trained_gets_no_shadow(held, run, alias, steps):
    train(held.registry, "m", "isolation_forest", past())

    def change():
        held.registry.point("m", alias, 2, "ann", "until Friday")
        held.go_on.set()

    run(held, [requested()], ended=change)
    assert [step for step, _ in held.steps] == steps
    assert "shadow" not in held.registry.aliases("m")
    assert held.registry.versions("m") == [1, 2]


def test_a_trainer_that_is_terminated_ends_in_order(tmp_path):
    (tmp_path / "mine.yaml").write_text("{kafka: {bootstrap: '127.0.0.1:1'}, models: {registry: models, use: {m: {}}}}")
    program = "from streamgauge.jobs.commands.app import app; app()"
    command = [sys.executable, "-c", program, "train", "--watch", "--settings", "mine.yaml"]
    trainer = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in trainer.stdout:
            if "trying again" in line:
                break
        trainer.send_signal(signal.SIGTERM)
        assert trainer.communicate(timeout=PATIENCE)[0].count("Traceback") == 0
        assert trainer.returncode == 0
    finally:
        trainer.kill()
        trainer.wait()
