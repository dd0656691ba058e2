"""A page with the quality of detection on labelled files."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2 import Environment
from sklearn import metrics
from streamgauge.jobs.pages.html import PLAIN, STYLE, axes_of, plain, png
from streamgauge.jobs.studies.backtest import Backtest
from streamgauge.jobs.studies.judging import ranked_member
from streamgauge.models.calibration.thresholds import (
    budget_threshold,
    compare_thresholds,
    cost_threshold,
    f1_threshold,
    percentile_threshold,
    tail_threshold,
)
from streamgauge.models.contract import Flags, Floats
from streamgauge.models.errors import InputError, NotReadyError
from streamgauge.models.evaluation.evaluation import intervals, judge
from streamgauge.udfs.control.shares import place_of
from streamgauge.udfs.output.alert import score_of
from streamgauge.udfs.scoring.join import SEEN_BEFORE

FIXED = round(
    math.exp(-SEEN_BEFORE), 12
)  # a threshold to compare with where a promise gives another one to each stream
MOST_ENTITIES = 50  # in the table
MOST_POINTS = 1500  # of the timeline; a point is the highest score of several rows

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Streamgauge evaluation</title>
{{ style|safe }}
<h1>How good the detection is</h1>
<p class="sub">{{ rows }} rows, {{ anomalies }} labelled anomalous, {{ entities|length }} entities; threshold {{ threshold }}</p>
<h2>Figures</h2>
<table><tr><th>figure</th><th>value</th><th>95 % interval</th></tr>
{% for name, value, low, high in figures %}<tr><td>{{ name }}</td><td>{{ value }}</td><td>{{ low }} to {{ high }}</td></tr>
{% endfor %}</table>
<p class="sub">Intervals by bootstrap over blocks of 50 rows.
Cost: {{ missed_cost }} for a miss, {{ false_cost }} for a false alarm, {{ cost }} in all.</p>
<div class="plots">{% for plot in plots %}<img alt="{{ plot.name }}" src="data:image/png;base64,{{ plot.png }}">{% endfor %}</div>
<h2>Over time</h2><div class="wide"><img alt="timeline" src="data:image/png;base64,{{ timeline }}"></div>
<h2>Other thresholds</h2>
<table><tr><th>threshold</th><th>score</th><th>precision</th><th>recall</th><th>F1</th><th>cost</th></tr>
{% for row in thresholds %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<p class="sub">Thresholds that use the labels are the best for this data. They need not be the best for other data.</p>
<h2>Members</h2>
<table><tr><th>member</th><th>rows with an opinion</th><th>ROC AUC</th><th>PR AUC</th></tr>
<tr><td>all together</td><td>{{ rows }}</td><td>{{ "%.3f"|format(whole.roc_auc) }}</td><td>{{ "%.3f"|format(whole.pr_auc) }}</td></tr>
{% for row in members %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<p class="sub">Each detector and trained model alone, on the rows for which it has an opinion.</p>
<h2>Incidents by kind</h2>
<table><tr><th>kind</th><th>opened</th><th>on labelled rows</th></tr>
{% for row in kinds %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
{% if trial %}<h2>Trial of two thresholds</h2>
<p>On one half of the entities {{ trial.a }}, on the other {{ trial.b }}: <b>{{ trial.verdict }}</b>.
Precision differs by {{ trial.difference }} (95 % interval {{ trial.low }} to {{ trial.high }}).</p>{% endif %}
<h2>By entity</h2>
<table><tr><th>entity</th><th>rows</th><th>anomalous</th><th>alerted</th><th>precision</th><th>recall</th></tr>
{% for row in entities[:most] %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
</html>
"""


def evaluate(
    results: list[Backtest], threshold: float | None, missed: float, false: float, against: float | None = None
) -> tuple[dict[str, Any], str]:
    """Figures and the page.

    Parameters
    ----------
    results : list of Backtest
        Results with labels.
    threshold : float or None
        Tail probability of the settings; None where it follows from the promise.
    missed, false : float
        Cost of a missed anomaly and of a false alarm.
    against : float, optional
        Another tail probability: it is tried on half of the entities, and compared with `threshold` (or with 1e-4, if a promise gives the
        threshold) on the other half.

    Raises
    ------
    InputError
        There are no labels, or all are the same.
    """
    if any(result.labels is None for result in results):
        raise InputError("an evaluation needs labels: name their column with --label-column")
    labels = np.concatenate([result.labels > 0 for result in results if result.labels is not None])
    if not 0 < labels.sum() < len(labels):
        raise InputError(f"all {len(labels)} labels are {'above ' if labels.any() else ''}0: nothing can be compared")
    scores = np.concatenate([result.scores for result in results])
    flags = np.concatenate([result.flags for result in results]) > 0
    names = np.array([entity for result in results for entity in result.entities])
    figures: dict[str, Any] = dict(judge(labels, scores, flags, missed, false))
    by_entity = np.argsort(names, kind="stable")  # so that the rows of an incident follow each other
    figures["intervals"] = intervals(labels[by_entity], scores[by_entity], flags[by_entity])
    figures["thresholds"] = _thresholds(labels, scores, missed, false)
    figures["members"] = _members(results, labels)
    figures["kinds"] = _kinds(results)
    if against is not None:
        figures["trial"] = _trial(names, labels, scores, threshold or FIXED, against)
    page = Environment(autoescape=True).from_string(PAGE)
    shown = [(name, f"{figures[name]:.3f}", *(f"{v:.3f}" for v in ends)) for name, ends in figures["intervals"].items()]
    with mpl.rc_context(PLAIN):
        html = page.render(
            style=STYLE,
            rows=len(labels),
            anomalies=int(labels.sum()),
            threshold=threshold or "as promised",
            figures=shown,
            missed_cost=missed,
            false_cost=false,
            cost=f"{figures['cost']:.0f}",
            plots=_plots(labels, scores, flags),
            timeline=_timeline(labels, scores, flags),
            thresholds=[
                _row(name, value, labels, scores, missed, false) for name, value in figures["thresholds"].items()
            ],
            entities=_by_entity(names, labels, flags),
            most=MOST_ENTITIES,
            whole=figures,
            trial=figures.get("trial"),
            members=[
                (k, v["rows"], f"{v['roc_auc']:.3f}", f"{v['pr_auc']:.3f}") for k, v in figures["members"].items()
            ],
            kinds=[(kind, v["opened"], v["true"]) for kind, v in figures["kinds"].items()],
        )
    return figures, html


def _members(results: list[Backtest], labels: Flags) -> dict[str, dict[str, Any]]:
    """How well each member alone separates the rows for which it has an opinion."""
    evidence = np.concatenate([result.members for result in results])
    found = {
        name: ranked_member(labels, column) for name, column in zip(results[0].member_names, evidence.T, strict=True)
    }
    return {name: figures for name, figures in found.items() if figures["roc_auc"] is not None}


def _kinds(results: list[Backtest]) -> dict[str, dict[str, int]]:
    """Incidents that opened, and how many of them on a labelled row, by kind."""
    found: dict[str, dict[str, int]] = {}
    for result in results:
        assert result.labels is not None
        for alert in result.alerts:
            data = json.loads(alert)["data"]
            if data["state"] == "opened":
                counts = found.setdefault(data["kind"], {"opened": 0, "true": 0})
                counts["opened"] += 1
                counts["true"] += int(result.labels[result.row_of(data["source"])] > 0)
    return found


def _trial(names: Any, labels: Flags, scores: Floats, a: float, b: float) -> dict[str, Any]:
    """Compare two thresholds, each on the half of the entities that it would get in a trial on live traffic."""
    entities, each = np.unique(names, return_inverse=True)
    half = np.array([place_of(entity, "trial") < 0.5 for entity in entities.tolist()], dtype=np.bool_)[each]
    arms = []
    for mine, threshold in ((~half, a), (half, b)):
        alerted = mine & (scores >= score_of(-math.log(threshold)))
        arms.append((int((alerted & labels).sum()), int(alerted.sum())))
    verdict = compare_thresholds(arms[0], arms[1])
    better = {"a": f"{a:g} is better", "b": f"{b:g} is better"}.get(verdict.better, "neither is better yet")
    return {
        "a": f"{a:g}",
        "b": f"{b:g}",
        "verdict": better,
        "true_and_all": arms,
        "difference": round(verdict.difference, 4),
        "low": round(verdict.low, 4),
        "high": round(verdict.high, 4),
    }


def _thresholds(labels: Flags, scores: Floats, missed: float, false: float) -> dict[str, float]:
    found = {
        "99.9 % of scores": percentile_threshold(scores, 0.999),
        "budget of one alert in 1,000 rows": budget_threshold(scores, len(scores) // 1000),
        "best F1 (labels)": f1_threshold(labels, scores)[0],
        "lowest cost (labels)": cost_threshold(labels, scores, missed, false)[0],
    }
    with contextlib.suppress(NotReadyError):  # too few rows to estimate a tail: the line is left out
        found["extreme-value tail, 1 in 10,000"] = tail_threshold(scores, 1e-4)
    return found


def _row(name: str, value: float, labels: Flags, scores: Floats, missed: float, false: float) -> tuple[str, ...]:
    figures = judge(labels, scores, scores >= value, missed, false)
    return (
        name,
        f"{value:.4f}",
        *(f"{figures[k]:.3f}" for k in ("precision", "recall", "f1")),
        f"{figures['cost']:.0f}",
    )


def _by_entity(names: Any, labels: Flags, flags: Flags) -> list[tuple[str, ...]]:
    entities, of = np.unique(names, return_inverse=True)
    counts = (np.bincount(of[rows], minlength=len(entities)) for rows in (slice(None), labels, flags, labels & flags))
    found = []
    for name, rows, anomalous, alerted, hits in zip(entities.tolist(), *(n.tolist() for n in counts), strict=True):
        precision = f"{hits / alerted:.3f}" if alerted else "-"
        recall = f"{hits / anomalous:.3f}" if anomalous else "-"
        found.append((name, str(rows), str(anomalous), str(alerted), precision, recall))
    return sorted(found, key=lambda row: -int(row[2]))


def _plots(labels: Flags, scores: Floats, flags: Flags) -> list[dict[str, str]]:
    plots = []
    figure, axes = axes_of("false positive rate", "true positive rate", "ROC")
    fpr, tpr, _ = metrics.roc_curve(labels, scores)
    axes.plot(fpr, tpr, color="#1f6feb")
    axes.plot([0, 1], [0, 1], color="#c3ccd5", linestyle=":")
    plots.append({"name": "ROC", "png": png(figure)})
    figure, axes = axes_of("recall", "precision", "Precision and recall")
    precision, recall, _ = metrics.precision_recall_curve(labels, scores)
    axes.plot(recall, precision, color="#1f6feb")
    axes.axhline(labels.mean(), color="#c3ccd5", linestyle=":")
    plots.append({"name": "precision and recall", "png": png(figure)})
    figure, axes = axes_of("score", "share of rows", "Distribution of scores")
    bins = np.linspace(0, 1, 41)
    for kind, color, title in ((~labels, "#8b98a5", "usual"), (labels, "#d1495b", "anomalous")):
        axes.hist(
            scores[kind], bins, weights=np.full(kind.sum(), 1 / max(1, kind.sum())), alpha=0.6, color=color, label=title
        )
    axes.legend(frameon=False)
    plots.append({"name": "distribution", "png": png(figure)})
    figure, axes = axes_of("threshold", "", "Threshold")
    thresholds = np.unique(np.quantile(scores, np.linspace(0.5, 1, 200)))
    rows = [judge(labels, scores, scores >= t) for t in thresholds]
    for name, color in (("precision", "#1f6feb"), ("recall", "#d1495b"), ("f1", "#2d936c")):
        axes.plot(thresholds, [row[name] for row in rows], color=color, label=plain(name))
    axes.legend(frameon=False)
    plots.append({"name": "threshold", "png": png(figure)})
    figure, axes = axes_of("alerted", "labelled", "Confusion")
    table = metrics.confusion_matrix(labels, flags)
    axes.imshow(np.log1p(table), cmap="Blues")
    for (i, j), n in np.ndenumerate(table):
        dark = np.log1p(n) > np.log1p(table).max() / 2
        axes.text(j, i, f"{n}", ha="center", va="center", color="white" if dark else "black")
    axes.set_xticks([0, 1], ["no", "yes"])
    axes.set_yticks([0, 1], ["no", "yes"])
    return [*plots, {"name": "confusion", "png": png(figure)}]


def _timeline(labels: Flags, scores: Floats, flags: Flags) -> str:
    figure, axes = axes_of("row", "score", "", (10.5, 2.6))
    step = -(-len(scores) // MOST_POINTS)
    starts = np.arange(0, len(scores), step)
    axes.plot(
        starts, np.maximum.reduceat(scores, starts), color="#8b98a5", linewidth=0.6, label=f"highest of {step} rows"
    )
    edges = np.flatnonzero(np.diff(np.concatenate(([0], labels.view(np.int8), [0]))))
    for k, (first, after) in enumerate(edges.reshape(-1, 2)[:500]):
        axes.axvspan(first, after, color="#f6c344", alpha=0.5, linewidth=0.8, label="labelled" if k == 0 else None)
    axes.plot(np.flatnonzero(flags), scores[flags], ".", color="#d1495b", markersize=4, label="alerted")
    axes.legend(frameon=False, ncols=3, loc="lower right")
    return png(figure)
