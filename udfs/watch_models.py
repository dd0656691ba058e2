"""What the job sees of its trained models: what a shadow would have said, whether data or scores have moved, what people say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.udfs.calibrate import SHADOW
from streamgauge.udfs.feedback import Source
from streamgauge.udfs.records import BatchResult, Events, Opinions, Verdicts

if TYPE_CHECKING:
    from streamgauge.udfs.log_pipeline import LogPipeline

BESIDE, ALONE = 32, 512  # events from one probe to the next, of a model beside its shadow, and by itself


def watch_models(
    log: LogPipeline, events: Events, X: Floats, opinions: Opinions, verdicts: Verdicts, offsets: Ints, result: BatchResult
) -> None:  # fmt: skip
    """Compare each shadow with the model whose shadow it is, and each model with what it was trained on.

    Parameters
    ----------
    log : LogPipeline
        After these events.
    events : Events
    X : float64[n, d]
    opinions, verdicts
    offsets : int64[n]
    result : BatchResult
        What is told, and asked for, is added.
    """
    own = log.calibrators.exchanged(verdicts.surprises, opinions.canaries)  # each version's, whoever was heard
    limit = -math.log(log.threshold)
    columns, at_work = log.alignment.schema.numeric, log.models.at_work
    alone = {name: own[:, opinions.names.index(name)] >= limit for name in at_work}  # NaN is not
    for model in log.models.settings.use:
        shadow = f"{model}{SHADOW}"
        if shadow in at_work:
            b = alone[shadow]
            a = alone[model] if model in at_work else np.zeros_like(b)
            result.count(f"models.{model}.both", int((a & b).sum()))
            result.count(f"models.{model}.only_live", int((a & ~b).sum()))
            result.count(f"models.{model}.only_shadow", int((b & ~a).sum()))
            if model in log.comparisons and model in at_work:
                versions = log.models.versions
                places, (live_right, shadow_right) = log.models.probe((model, shadow), X, columns, offsets, BESIDE)
                result.notices += log.comparisons[model].compare(
                    versions[model],
                    versions[shadow],
                    (a, b),
                    (places, live_right, shadow_right),
                    log.threshold,
                    offsets,
                    events.times,
                )
        loaded = at_work.get(model)
        if loaded is None or loaded.reference is None or model not in log.drift:
            continue
        given = log.models.given(model, X, columns)
        if len(loaded.watched) > given.shape[1]:
            given = np.column_stack((opinions.magnitudes[:, opinions.names.index(model)], given))
        places, (right,) = log.models.probe((model,), X, columns, offsets, ALONE)
        requests = log.drift[model].watch(
            loaded.manifest.version, loaded.reference, loaded.watched, given, alone[model], (places, right), log.threshold,
            events.entities, offsets, events.times,
        )  # fmt: skip
        result.requests += requests
        result.count("retrain_requests", len(requests))


def ask(
    log: LogPipeline, model: str, evidence: dict[str, Any], source: Source, offset: int, result: BatchResult
) -> None:  # fmt: skip
    """Ask for a retraining, because of what people say of alerts.

    Parameters
    ----------
    log : LogPipeline
    model : str
    evidence : dict
    source : Source
        The first event that they judged since the model became worse.
    offset : int
        Of what was said last.
    result : BatchResult
        The request is added to it.
    """
    watch = log.drift[model]
    if model in log.models.at_work and watch.version:
        where = {str(log.log): [source.first, source.last + 1]}
        result.requests.append(watch.ask("performance", evidence, log.store.clock, where, offset, log.store.clock))
        result.count("retrain_requests")
