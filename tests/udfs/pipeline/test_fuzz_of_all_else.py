"""Whatever bytes come as messages, settings, models and saved state: they are read, or refused with one kind of error.

Records of events have a test of their own. `make test` throws 200 texts at each of these; ``FUZZ=1000000`` throws 20,000 (`make fuzz`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamgauge.jobs.kafka.cloud_events import alert_of
from streamgauge.jobs.retraining.notices import step_of
from streamgauge.jobs.service.messages import Record, UnreadableError, change_of, feedback_of, notice_of, score_of
from streamgauge.jobs.settings.loading import parsed
from streamgauge.models.calibration.calibration import TailCalibrator
from streamgauge.models.calibration.pooled_tail import PooledTail
from streamgauge.models.detectors.fitted.gaussian_mixture import GaussianMixture
from streamgauge.models.detectors.fitted.isolation_forest import IsolationForest
from streamgauge.models.detectors.fitted.one_class_svm import OneClassSvm
from streamgauge.models.errors import ModelError, SettingsError, StateError
from streamgauge.models.persistence.manifest import Manifest
from streamgauge.models.training.candidate import Past, make_candidate
from streamgauge.udfs.control.feedback import parse_feedback
from streamgauge.udfs.control.messages import parse
from streamgauge.udfs.pipeline.told_before import ToldBefore
from streamgauge.udfs.settings.feedback import FeedbackSettings

from tests.jobs.retraining.in_memory import requested
from tests.streams import SMALL, Run, stream
from tests.udfs.events.test_fuzz import PAYLOADS, mutated

EACH = PAYLOADS // 50
CONTROL = [
    {"type": "threshold", "value": 1e-4},
    {"type": "weights", "weights": {"levels": 0.5}},
    {"type": "maintenance", "windows": [{"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}]},
    {"type": "model", "model": "pumps", "role": "live", "version": 3},
    {"type": "rules", "rules": [{"id": "hot", "when": "heat > 90", "severity": "high"}]},
]
SAID = {
    "alert_id": "a1",
    "verdict": "false",
    "by": "ann",
    "entity": "e",
    "kind": "point",
    "effect": 1.0,
    "tail_probability": 1e-5,
}


def of_json(*values: Any) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


def outputs() -> Run:
    """What a job writes: alerts, scores and notices."""
    return Run(SMALL.model_copy(update={"output": SMALL.output.model_copy(update={"scores": "all"})})).feed(stream(400))


def models() -> list[bytes]:
    X = np.random.default_rng(0).normal(size=(200, 3))
    made = (GaussianMixture(), IsolationForest(n_trees=4, part=16), OneClassSvm())
    return [model.fit(X).to_files()["arrays.bin"] for model in made]


def manifests() -> list[bytes]:
    past = Past(np.random.default_rng(0).normal(size=(300, 2)), ["a", "b"], np.zeros(300, np.int64))
    return [make_candidate("m", "gaussian_mixture", past)[0].model_dump_json().encode()]


def loaded(content: bytes) -> None:
    for kind in (GaussianMixture, IsolationForest, OneClassSvm):
        if kind.name.encode() in content[:200]:
            kind.from_files({"arrays.bin": content}).rate_many(np.zeros((2, 3)))


def record(content: bytes) -> Record:
    return Record("topic", 0, 1, 1_760_000_000_000, content)


TRUST = FeedbackSettings()
SETTINGS = Path(__file__).parents[3] / "flink-conf" / "detection.yaml"
Target = tuple[Callable[[], list[bytes]], Callable[[bytes], Any], type[Exception] | tuple[type[Exception], ...]]
TARGETS: dict[str, Target] = {
    "control messages": (lambda: of_json(*CONTROL), parse, SettingsError),
    "feedback": (lambda: of_json(SAID), parse_feedback, SettingsError),
    "requests to retrain": (lambda: of_json(requested()), step_of, ()),
    "alerts, in the commands": (lambda: [t for _, t in outputs().alerts], alert_of, ()),
    "alerts, in the history": (
        lambda: [t for _, t in outputs().alerts],
        lambda c: change_of(record(c)),
        UnreadableError,
    ),
    "scores, in the history": (
        lambda: [t for _, t in outputs().scores[:9]],
        lambda c: score_of(record(c)),
        UnreadableError,
    ),
    "notices, in the history": (
        lambda: [t for _, t in outputs().notices],
        lambda c: notice_of(record(c)),
        UnreadableError,
    ),
    "feedback, in the history": (lambda: of_json(SAID), lambda c: feedback_of(record(c), TRUST), UnreadableError),
    "alerts of an earlier run": (
        lambda: [t for _, t in outputs().alerts],
        lambda c: ToldBefore.of_topic("streamgauge", [c]),
        (),
    ),
    "settings": (lambda: [SETTINGS.read_bytes()], lambda c: parsed(c.decode(errors="replace"), "fuzz"), SettingsError),
    "manifests": (manifests, lambda c: Manifest.parse(c, "fuzz"), ModelError),
    "models": (models, loaded, StateError),
    "calibrators": (
        lambda: [TailCalibrator().to_state(), PooledTail().to_state()],
        lambda c: (TailCalibrator if b"tail_calibrator" in c[:99] else PooledTail).from_state(c),
        StateError,
    ),
}


@pytest.mark.parametrize("name", TARGETS)
def test_everything_is_read_or_refused(name):
    samples, read, refused = TARGETS[name]
    known, chosen, good = samples(), random.Random(name), 0
    for sample in known:
        read(sample)  # else the rest would show nothing
    for _ in range(EACH):
        try:
            read(mutated(chosen.choice(known), chosen))
            good += 1
        except refused:
            continue
    assert good > 0


def test_damaged_state_is_refused_or_is_what_was_saved():
    saved, chosen = outputs().saved, random.Random("state")
    for _ in range(EACH // 4):
        key = chosen.choice(sorted(saved))
        value = mutated(saved[key], chosen)
        try:
            restored = Run(SMALL, saved | {key: value})
        except StateError:
            continue
        assert value == saved[key]
        assert restored.shard.partitions
