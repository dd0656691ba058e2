"""Watches the trained models of a partition: how each shadow compares with the live model, and whether data or scores have drifted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.control.feedback import Source
from streamgauge.udfs.monitoring.drift import DriftWatch, ModelEvents
from streamgauge.udfs.monitoring.shadow import Compared, Comparison
from streamgauge.udfs.output.cloud_event import Origin
from streamgauge.udfs.scoring.calibrate import SHADOW
from streamgauge.udfs.scoring.scorer import Scorer
from streamgauge.udfs.settings.pipeline import DriftSettings

BESIDE, ALONE = 32, 512  # offsets from one probe to the next: for a model with its shadow, and for a model by itself


@dataclass(frozen=True, slots=True)
class Watched:
    """Events after scoring, as the monitor needs them.

    Attributes
    ----------
    entities : list of str
    offsets, times : int64[n]
        Offset and event time (milliseconds) of each event.
    X : float64[n, d]
        Values; NaN is missing.
    raw_scores, evidence : float64[n, members]
        Of each member; NaN where it has no opinion.
    canaries : bool[n, models] or bool[n, 0]
        For which events each model's shadow counted in its place.
    threshold : float
        Tail probability that was in force.
    """

    entities: list[str]
    offsets: Ints
    times: Ints
    X: Floats
    raw_scores: Floats
    evidence: Floats
    canaries: Flags
    threshold: float


@dataclass(slots=True)
class Findings:
    """What the monitor found.

    Attributes
    ----------
    notices, requests : list of (str, bytes)
        Key and JSON: comparisons of models, and requests to retrain one.
    counts : dict of str to int
        For metrics.
    """

    notices: list[tuple[str, bytes]]
    requests: list[tuple[str, bytes]]
    counts: dict[str, int]


class ModelMonitor:
    """Watches the trained models of one partition.

    Parameters
    ----------
    settings : DriftSettings or None
        None: drift is not looked for, and models are not compared.
    scorer : Scorer
        Its trained models are watched.
    origin : Origin

    Attributes
    ----------
    drift : dict of str to DriftWatch
        By model.
    comparisons : dict of str to Comparison
        By model.
    """

    def __init__(self, settings: DriftSettings | None, scorer: Scorer, origin: Origin) -> None:
        self._scorer = scorer
        self.drift: dict[str, DriftWatch] = {}
        self.comparisons: dict[str, Comparison] = {}
        if settings is not None:
            names = scorer.models.settings.use
            self.drift = {name: DriftWatch(settings, name, origin) for name in names}
            self.comparisons = {name: Comparison(settings.every, name, origin) for name in names}

    def watch(self, seen: Sequence[Watched], columns: list[str]) -> Findings:
        """Compare each shadow with its live model, and the data of each model with its training data.

        Parameters
        ----------
        seen : sequence of Watched
            The parts of a batch, in order, all of one schema. Each call has a fixed cost, so there is one call for a batch.
        columns : list of str
            Field of each column.
        """
        found = Findings([], [], {})
        for _, parts in groupby(seen, key=lambda part: part.threshold):
            self._watch(_together(list(parts)), columns, found)
        return found

    def ask(
        self, model: str, evidence: dict[str, Any], source: Source, offset: int, time: int
    ) -> tuple[str, bytes] | None:
        """Write a request to retrain a model that has become worse according to feedback.

        Parameters
        ----------
        model : str
        evidence : dict
            See `PerformanceWatch.take`.
        source : Source
            Place of the first alert that people judged after the model became worse.
        offset : int
            Offset of the newest feedback.
        time : int
            Event time of the partition, milliseconds.

        Returns
        -------
        (str, bytes) or None
            Key and JSON. None where the model is not used, or its version is not known yet.
        """
        watch = self.drift[model]
        if model not in self._scorer.models.at_work or not watch.version:
            return None
        where = {str(source.partition): [source.first, source.last + 1]}
        return watch.ask("performance", evidence, time, where, offset, time, source.topic)

    def _watch(self, seen: Watched, columns: list[str], found: Findings) -> None:
        """Watch events that all have the same threshold."""
        models, calibrators = self._scorer.models, self._scorer.calibrators
        names = calibrators.of.names
        # Exchanged again, each column has the evidence of one version, whether the version counted as live model or as shadow.
        by_version = calibrators.exchanged(seen.evidence, seen.canaries)
        evidence_needed = -math.log(seen.threshold)
        alerts = {name: by_version[:, names.index(name)] >= evidence_needed for name in models.at_work}  # False for NaN
        for model in models.settings.use:
            if f"{model}{SHADOW}" in models.at_work:
                self._compare(model, alerts, seen, columns, found)
            loaded = models.at_work.get(model)
            if loaded is None or loaded.reference is None or model not in self.drift:
                continue
            given = models.given(model, seen.X, columns)
            if len(loaded.watched) > given.shape[1]:
                given = np.column_stack((seen.raw_scores[:, names.index(model)], given))
            places, (right,) = models.probe((model,), seen.X, columns, seen.offsets, ALONE)
            events = ModelEvents(
                given, alerts[model], (places, right), seen.threshold, seen.entities, seen.offsets, seen.times
            )
            requests = self.drift[model].watch(loaded.manifest.version, loaded.reference, loaded.watched, events)
            found.requests += requests
            _count(found.counts, "retrain_requests", len(requests))

    def _compare(
        self, model: str, alerts: dict[str, Flags], seen: Watched, columns: list[str], found: Findings
    ) -> None:
        """Compare a model's shadow with the live model; `alerts` says, by member, which events would have raised an alert."""
        models, shadow = self._scorer.models, f"{model}{SHADOW}"
        of_shadow = alerts[shadow]
        of_live = alerts.get(model, np.zeros_like(of_shadow))
        _count(found.counts, f"models.{model}.both", int((of_live & of_shadow).sum()))
        _count(found.counts, f"models.{model}.only_live", int((of_live & ~of_shadow).sum()))
        _count(found.counts, f"models.{model}.only_shadow", int((of_shadow & ~of_live).sum()))
        if model in self.comparisons and model in models.at_work:
            places, (live_right, shadow_right) = models.probe((model, shadow), seen.X, columns, seen.offsets, BESIDE)
            compared = Compared(
                of_live, of_shadow, places, live_right, shadow_right, seen.threshold, seen.offsets, seen.times
            )
            versions = models.versions
            found.notices += self.comparisons[model].compare(versions[model], versions[shadow], compared)

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """All that was learned, by model: the state of `drift`, and the state of `comparisons`."""
        drift = {name: watch.to_state() for name, watch in self.drift.items()}
        return drift, {name: comparison.to_state() for name, comparison in self.comparisons.items()}

    def restore(self, drift: dict[str, Any], comparisons: dict[str, Any]) -> None:
        """Restore what `to_state` gave."""
        for name, watch in self.drift.items():
            if name in drift:
                watch.restore(drift[name])
                self.comparisons[name].restore(comparisons[name])


def _count(counts: dict[str, int], what: str, n: int) -> None:
    """Add `n` to a counter."""
    counts[what] = counts.get(what, 0) + n


def _together(parts: list[Watched]) -> Watched:
    """Several parts, all with the same threshold, as one."""
    if len(parts) == 1:
        return parts[0]
    offsets, times, X, raw_scores, evidence, canaries = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("offsets", "times", "X", "raw_scores", "evidence", "canaries")
    )
    entities = [entity for part in parts for entity in part.entities]
    return Watched(entities, offsets, times, X, raw_scores, evidence, canaries, parts[0].threshold)
