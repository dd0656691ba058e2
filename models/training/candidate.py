"""A candidate: a trained model, calibrated and judged on validation data, with the figures that judge it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score
from streamgauge.models.calibration.calibration import TailCalibrator
from streamgauge.models.catalog import FITTED, IMPORTED, REMOVED, why_unknown
from streamgauge.models.contract import MOST_BYTES, Floats, Ints
from streamgauge.models.detectors.fitted.fitted_detector import FittedDetector, Progress, silent, windows
from streamgauge.models.detectors.fitted.synthetic_anomalies import separation, synthetic_anomalies
from streamgauge.models.errors import InputError, NotReadyError
from streamgauge.models.evaluation.drift import reference_of
from streamgauge.models.persistence.manifest import Distribution, History, Manifest
from streamgauge.models.persistence.registry import CALIBRATOR
from streamgauge.models.persistence.unfinished import Unfinished

VALIDATION_SHARE = 0.25  # last share of the history, which is not trained on
TIMED = 2048  # events whose scoring is timed
MOST_JUDGED = 20_000
LIBRARIES = ("streamgauge", "numpy", "scikit-learn", "torch", "onnxruntime", "onnx")
Variants = dict[str, tuple[dict[str, bytes], dict[str, float | None]]]


@dataclass(frozen=True)
class Past:
    """A history to train on.

    Attributes
    ----------
    X : float64[n, d]
        In order; NaN is missing.
    features : list of str
        Name of each column.
    groups : int64[n]
        Entity of each row.
    labels : float64[n] or None
        Above 0 for anomalies: such rows judge the model, and are never trained on.
    source, licence, left_out : str
        See `History`.
    first, last : int or None
        Event times, milliseconds.
    """

    X: Floats
    features: list[str]
    groups: Ints
    labels: Floats | None = None
    source: str = "memory"
    licence: str = "not stated"
    left_out: str = ""
    first: int | None = None
    last: int | None = None


def make_candidate(
    name: str,
    detector: str,
    past: Past,
    settings: dict[str, Any] | None = None,
    parent: int | None = None,
    say: Progress = silent,
    request: str | None = None,
    unfinished: Unfinished | None = None,
) -> tuple[Manifest, Variants]:
    """Train a detector, and make its manifest and files.

    The last quarter of the history is validation data: the model is calibrated and judged on it.

    Parameters
    ----------
    name : str
        Of the model.
    detector : str
        One of `FITTED`.
    past : Past
    settings : dict, optional
        Arguments of the detector.
    parent : int, optional
        Version that the new one comes from.
    say : callable
        Is called with what is being done, and the share of the work that is done.
    request : str, optional
        Retrain request that this answers.
    unfinished : Unfinished, optional
        Where a long training saves its state.

    Raises
    ------
    InputError
        The detector is not known, takes no such settings, cannot be trained with them, or would be too large.
    NotReadyError
        The history is too short.
    """
    if detector not in FITTED:
        named = detector in REMOVED or detector in IMPORTED
        why = f", {why_unknown(detector)}" if named else f"; these are: {', '.join(FITTED)}"
        raise InputError(f"detector {detector!r} is none that is trained{why}")
    kind, width = FITTED[detector], past.X.shape[1]
    kind.check_settings(settings or {})
    given = ", ".join(f"{key}={value!r}" for key, value in (settings or {}).items())
    try:
        model = kind(**(settings or {}))
        memory = kind.bytes_for(width, **(settings or {}))
    except TypeError as error:
        known = ", ".join(kind().settings())
        raise InputError(f"{detector} takes {known}, and not {given}: {error}") from error
    if memory > MOST_BYTES:
        raise InputError(
            f"{detector} of {width} fields would take {memory / 1e6:.0f} MB, a model may take {MOST_BYTES / 1e6:.0f} MB: "
            "make it smaller (hidden, n_trees, ...)"
        )
    model.unfinished = unfinished
    try:
        return candidate_of(name, model, past, memory, parent, request, say)
    except (ValueError, TypeError, RuntimeError) as error:
        if not given:
            raise
        raise InputError(f"{detector} cannot be trained with {given}: {error}") from error


def candidate_of(
    name: str,
    model: FittedDetector,
    past: Past,
    memory: int,
    parent: int | None = None,
    request: str | None = None,
    say: Progress = silent,
) -> tuple[Manifest, Variants]:
    """Fit a detector, calibrate and judge it, and make its manifest and files; see `make_candidate`.

    Parameters
    ----------
    model : FittedDetector
        Not fitted yet.
    memory : int
        Bytes that it will need.

    Raises
    ------
    InputError
        The history has no numeric field.
    NotReadyError
        The history is too short.
    """
    if not past.X.shape[1]:
        raise InputError("the history has no numeric field to train on")
    cut = len(past.X) - int(VALIDATION_SHARE * len(past.X))
    usual_rows = np.ones(cut, np.bool_) if past.labels is None else past.labels[:cut] <= 0
    X, groups = past.X[:cut][usual_rows], past.groups[:cut][usual_rows]
    model.fit(X, groups, say)
    left_out = "; ".join(
        [past.left_out] * bool(past.left_out) + [f"{cut - len(X)} labelled anomalies"] * (len(X) < cut)
    )
    usual, labels = _events(model, past, cut)
    calm = len(usual) if labels is None else int((labels <= 0).sum())
    if calm < 2:
        raise NotReadyError(
            f"{calm} events of validation data without a label are too few to calibrate: give a longer history"
        )
    unlabelled = past.X if past.labels is None else past.X[past.labels <= 0]
    finite = np.where(np.isfinite(unlabelled), unlabelled, np.nan)
    with np.errstate(all="ignore"):
        low, high = (
            _plain(f(finite, axis=0, initial=e, where=~np.isnan(finite)))
            for f, e in ((np.min, np.inf), (np.max, -np.inf))
        )
    raw_scores = model.rate_many(usual)
    variants: Variants = {"full": _judged(model, raw_scores, usual, labels)}
    reference, rated = reference_of(X), reference_of(_calm(raw_scores, labels)[:, None])
    manifest = Manifest(
        name=name,
        detector=model.name,
        settings=model.settings(),
        features=past.features,
        steps=model.steps,
        centre=model.normalisation.centre.tolist(),
        scale=model.normalisation.scale.tolist(),
        history=History(
            source=past.source,
            rows=len(past.X),
            first=past.first,
            last=past.last,
            low=low,
            high=high,
            licence=past.licence,
            left_out=left_out,
        ),
        seed=model.seed,
        chosen=model.chosen,
        curve=[dict(epoch) for epoch in model.curve],
        figures=variants["full"][1],
        memory=memory,
        parent=parent,
        request=request,
        libraries=_libraries(),
        distribution=Distribution(edges=reference.edges.tolist(), shares=reference.shares.tolist()),
        distribution_of_scores=Distribution(edges=rated.edges.tolist(), shares=rated.shares.tolist()),
    )
    return manifest, variants


def windows_of(model: FittedDetector, X: Floats, groups: Ints) -> Floats:
    """Events as the detector takes them: rows, or runs of rows of one entity."""
    return windows(X, groups, model.steps, MOST_JUDGED) if model.sequence else X[-MOST_JUDGED:]


def _events(model: FittedDetector, past: Past, cut: int) -> tuple[Floats, Floats | None]:
    """The validation data, and their labels."""
    X, groups = past.X[cut:], past.groups[cut:]
    labels = None if past.labels is None else past.labels[cut:]
    if not model.sequence:
        return X[-MOST_JUDGED:], None if labels is None else labels[-MOST_JUDGED:]
    marked = X if labels is None else np.column_stack((X, labels))
    runs = windows(marked, groups, model.steps, MOST_JUDGED)
    return np.ascontiguousarray(runs[:, :, : X.shape[1]]), None if labels is None else runs[:, -1, -1]


def _judged(
    model: FittedDetector, raw_scores: Floats, usual: Floats, labels: Floats | None
) -> tuple[dict[str, bytes], dict[str, float | None]]:
    """Files and figures of a model, from its raw scores of the validation data."""
    calm = _calm(raw_scores, labels)
    calibrator = TailCalibrator(50_000, 100)
    calibrator.rate_learn_many(calm)
    files = model.to_files() | {CALIBRATOR: calibrator.to_state()}
    Z = model.normalisation.apply(usual)
    strange = model.normalisation.undo(synthetic_anomalies(Z, model.seed))
    figures: dict[str, float | None] = {"separates_planted": separation(calm, model.rate_many(strange))}
    if labels is not None and 0 < (labels > 0).sum() < len(labels):
        figures["roc_auc"] = float(roc_auc_score(labels > 0, raw_scores))
        figures["pr_auc"] = float(average_precision_score(labels > 0, raw_scores))
    batch = usual[np.arange(TIMED) % len(usual)]
    took = []
    for _ in range(3):
        began = time.perf_counter()
        model.rate_many(batch)
        took.append((time.perf_counter() - began) / TIMED * 1e6)
    figures["us_per_event"] = round(min(took), 3)
    return files, {name: None if value is None or np.isnan(value) else value for name, value in figures.items()}


def _calm(raw_scores: Floats, labels: Floats | None) -> Floats:
    """The raw scores of events that are not labelled anomalous."""
    return raw_scores if labels is None else raw_scores[labels <= 0]


def _plain(numbers: Floats) -> list[float | None]:
    return [float(x) if np.isfinite(x) else None for x in numbers]


def _libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
