"""Call kernels so that numba compiles them. Runs in a separate process, with the settings as JSON on standard input."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from streamgauge.models.catalog import FITTED
from streamgauge.models.evaluation.drift import reference_of
from streamgauge.udfs.pipeline.warm_up import warm_up
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.pipeline import PipelineSettings

EVERYTHING: tuple[dict[str, Any], ...] = (
    {},
    {"silence": {"after": 3, "at_least": "5 m", "events": 50}},
    {"windows": {"hour": {"size": "1 h", "every": "10 m", "aggregates": {"x": ["mean"]}}}},
    {"detectors": {"rolling_z_score": {"memory": "window"}}},
    {"models": {"history": 16}},
)  # together with settings that use all detectors, these call nearly all kernels


def compile_for(settings: str | None) -> None:
    """Call every kernel that the settings need, or all kernels if there are no settings."""
    if settings is not None:
        chosen = PipelineSettings.model_validate_json(settings)
        warm_up(chosen, Models(chosen.models))
        return
    off = [name for name, section in PipelineSettings().detectors if section is None]
    for values in (*EVERYTHING, {"detectors": {name: {} for name in off}}):
        chosen = PipelineSettings.model_validate(values)
        warm_up(chosen, Models(chosen.models))
    compile_trained()


def compile_trained() -> None:
    """Train and call small models that need no torch, and the comparison of data with training data."""
    X = np.random.default_rng(0).normal(size=(400, 3))
    for kind in FITTED.values():
        if not kind.needs_torch:
            model = kind().fit(X)
            model.score_many(X[:8])
            model.explain_many(X[:8])
    reference = reference_of(X)
    reference.counts(X)
    reference.bins(X)


if __name__ == "__main__":
    compile_for(json.loads(sys.stdin.read()))
