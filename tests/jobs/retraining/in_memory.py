"""A trainer without Kafka: it keeps in memory what it would send. And the messages that tests give it."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
from streamgauge.jobs.retrain_models import Trainer
from streamgauge.jobs.settings.loading import validated
from streamgauge.models.training.candidate import Past
from streamgauge.udfs.events.time import epoch_milliseconds
from streamgauge.udfs.output.cloud_event import Origin

START = 1_760_000_000_000


def past(n=1500, centre=0.0, seed=0):
    random = np.random.default_rng(seed)
    return Past(random.normal(centre, 1, (n, 2)), ["a", "b"], random.integers(0, 5, n), last=START + n)


class InMemory:
    """A trainer whose topics are in memory: it keeps what was sent, and reads its own notices back."""

    def __init__(self, folder, canary=0.0, models=None, **retrain):
        raw = {"models": {"registry": str(folder), "use": models or {"m": {}}}}
        raw["retrain"] = {"canary": canary} | retrain
        self.now, self.notices = START / 1000, []
        self.sent, self.steps, self.data, self.feedback, self.said = [], [], past(centre=2.0, seed=1), [], []
        self.trainer = Trainer(validated(raw, "the test"), say=self.said.append, clock=lambda: self.now, topics=self)
        self.registry, self.reports, self.shadows = self.trainer.registry, self.trainer.reports, self.trainer.shadows
        self.backoff, self.metrics = self.reports.backoff, self.reports.metrics
        self.recall = self.trainer.recall

    def handle(self, event):
        """Handle a message, and wait for the training that it begins."""
        while not self.trainer.handle(event):
            self.trainer.has_trained(None)

    def answer_due(self):
        self.trainer.answer_due()
        self.trainer.has_trained(None)

    def send(self, message):
        self.sent.append((message.role, message.version, *([message.share] if message.share else [])))

    def feedback_since(self, since):
        [became, *_] = self.registry.history("m", "canary")
        assert since == int(datetime.fromisoformat(became["at"]).timestamp() * 1000)
        return self.feedback

    def publish(self, step, name, data, at):
        self.steps.append((step, data))
        self.notices.append(
            json.loads(Origin("t", "j").event("id", f"model.{step}", name, at, {"model": name, **data}))
        )

    def past_steps(self, since):
        return [notice for notice in self.notices if epoch_milliseconds(notice["time"]) >= since]

    def past(self, request, stop, unfinished):
        if isinstance(self.data, Exception):
            raise self.data
        return self.data


def requested(version=1, partition=0, began=0):
    data = {
        "request": f"m/{version}/inputs/{partition}/{began}",
        "model": "m",
        "reason": "inputs",
        "version": version,
        "since": "2025-10-09T08:53:20.000Z",
        "offsets": {str(partition): [began, began + 100]},
    }
    return {"type": "io.streamgauge.retrain.requested", "data": data}


def compared(live, shadow, alerts=(0, 0), right=(40, 40), events=10_000, probes=100):
    data = {
        "model": "m",
        "live": live,
        "shadow": shadow,
        "threshold": 1e-4,
        "events": events,
        "both": 0,
        "only_live": alerts[0],
        "only_shadow": alerts[1],
        "probes": probes,
        "live_right": right[0],
        "shadow_right": right[1],
    }
    return {"type": "io.streamgauge.model.compared", "data": data}


def shadowed(trainer):
    trainer.handle(requested())
    trainer.sent.clear()
    trainer.steps.clear()
    return trainer
