"""What the job sees of its trained models: what a shadow would have said, whether data or scores have moved, what people say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.control.feedback import Source
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.scoring.calibrate import SHADOW

if TYPE_CHECKING:
    from streamgauge.udfs.pipeline.partition import LogPipeline

BESIDE, ALONE = 32, 512  # events from one probe to the next, of a model beside its shadow, and by itself


@dataclass(frozen=True, slots=True)
class Watched:
    """What there is to see of some events.

    Attributes
    ----------
    entities : list of str
    offsets, times : int64[n]
    X : float64[n, d]
    magnitudes, surprises : float64[n, members]
        Of each member.
    canaries : bool[n, models] or bool[n, 0]
    threshold : float
        Tail probability that was in force.
    """

    entities: list[str]
    offsets: Ints
    times: Ints
    X: Floats
    magnitudes: Floats
    surprises: Floats
    canaries: Flags
    threshold: float


def watch_models(log: LogPipeline, seen: Sequence[Watched], result: BatchResult) -> None:
    """Compare each shadow with the model whose shadow it is, and each model with what it was trained on.

    Parameters
    ----------
    log : LogPipeline
        After these events, all of one schema.
    seen : sequence of Watched
        In order: looking costs by the call, so a batch is looked at once.
    result : BatchResult
        What is told, and asked for, is added.
    """
    for _, parts in groupby(seen, key=lambda part: part.threshold):
        _watch(log, _together(list(parts)), result)


def _together(parts: list[Watched]) -> Watched:
    if len(parts) == 1:
        return parts[0]
    offsets, times, X, magnitudes, surprises, canaries = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("offsets", "times", "X", "magnitudes", "surprises", "canaries")
    )
    entities = [entity for part in parts for entity in part.entities]
    return Watched(entities, offsets, times, X, magnitudes, surprises, canaries, parts[0].threshold)


def _watch(log: LogPipeline, seen: Watched, result: BatchResult) -> None:
    names = log.calibrators.of.names
    own = log.calibrators.exchanged(seen.surprises, seen.canaries)  # each version's, whoever was heard
    limit = -math.log(seen.threshold)
    columns, at_work = log.alignment.schema.numeric, log.models.at_work
    alone = {name: own[:, names.index(name)] >= limit for name in at_work}  # NaN is not
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
                places, (live_right, shadow_right) = log.models.probe(
                    (model, shadow), seen.X, columns, seen.offsets, BESIDE
                )
                result.notices += log.comparisons[model].compare(
                    versions[model],
                    versions[shadow],
                    (a, b),
                    (places, live_right, shadow_right),
                    seen.threshold,
                    seen.offsets,
                    seen.times,
                )
        loaded = at_work.get(model)
        if loaded is None or loaded.reference is None or model not in log.drift:
            continue
        given = log.models.given(model, seen.X, columns)
        if len(loaded.watched) > given.shape[1]:
            given = np.column_stack((seen.magnitudes[:, names.index(model)], given))
        places, (right,) = log.models.probe((model,), seen.X, columns, seen.offsets, ALONE)
        requests = log.drift[model].watch(
            loaded.manifest.version, loaded.reference, loaded.watched, given, alone[model], (places, right), seen.threshold,
            seen.entities, seen.offsets, seen.times,
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
