"""The plots of a report: a period, from its beginning to now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from streamgauge.jobs.pages.html import axes_of, png
from streamgauge.jobs.studies.report import Found

COLOURS = {"point": "#1f6feb", "contextual": "#2d936c", "collective": "#e0a100", "relative": "#8250df", "drift": "#d1495b",
           "conditional": "#5b6b7b"}  # fmt: skip
BUCKETS = 48
HOUR = 3.6e6


def plots(found: Found, since: int, until: int) -> list[dict[str, str]]:
    """Name, and PNG as base64, of each plot.

    Parameters
    ----------
    found : Found
    since, until : int
        Milliseconds.
    """
    edges = np.linspace(since, max(until, since + 1), BUCKETS + 1)
    made = {"incidents": _incidents, "precision": _precision, "recall": _recall, "calibration": _calibration, "latency": _latency,
            "models": _models}  # fmt: skip
    return [{"name": name, "png": png(draw(found, edges))} for name, draw in made.items()]


def _axes(y: str, title: str, edges: Any) -> tuple[Any, Any]:
    figure, axes = axes_of("hours before the end", y, title)
    axes.set_xlim((edges[0] - edges[-1]) / HOUR, 0)
    return figure, axes


def _hours(moments: Sequence[int], edges: Any) -> Any:
    return (np.asarray(moments, dtype=np.float64) - edges[-1]) / HOUR


def _middle(edges: Any) -> Any:
    return _hours((edges[1:] + edges[:-1]) / 2, edges)


def _so_far(axes: Any, told: list[tuple[int, bool]], edges: Any, **how: Any) -> None:
    """The share of what was right, of all so far."""
    hits = [good for _, good in told]
    axes.plot(_hours([at for at, _ in told], edges), np.cumsum(hits) / np.arange(1, len(hits) + 1), **how)


def _legend(axes: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


def _incidents(found: Found, edges: Any) -> Any:
    figure, axes = _axes("opened", "Incidents by kind", edges)
    below = np.zeros(BUCKETS)
    for kind, colour in COLOURS.items():
        moments = [at for at, e in found.alerts if e["data"]["state"] == "opened" and e["data"]["kind"] == kind]
        if moments:
            counts = np.histogram(moments, edges)[0]
            axes.bar(_middle(edges), counts, (edges[1] - edges[0]) / HOUR, below, color=colour, label=kind)
            below += counts
    _legend(axes)
    return figure


def _precision(found: Found, edges: Any) -> Any:
    figure, axes = _axes("share found true, so far", "Precision, by what people say", edges)
    if judged := found.judged():
        _so_far(axes, judged, edges, color="#1f6feb", marker=".")
    axes.set_ylim(0, 1.05)
    return figure


def _recall(found: Found, edges: Any) -> Any:
    figure, axes = _axes("share found, so far", "Recall of known anomalies", edges)
    for kind, colour in COLOURS.items():
        mine = [
            (at, data["probe"]["found"])
            for at, data in found.tracked
            if data["probe"] and data["probe"]["kind"] == kind
        ]
        if mine:
            _so_far(axes, mine, edges, color=colour, label=kind, marker=".")
    axes.set_ylim(0, 1.05)
    _legend(axes)
    return figure


def _calibration(found: Found, edges: Any) -> Any:
    figure, axes = _axes("observed over promised", "Calibration", edges)
    moments = [at for at, _ in found.tracked]
    of = np.histogram(moments, edges, weights=[float(data["of"]) for _, data in found.tracked])[0]
    for power, colour in (("1e-2", "#1f6feb"), ("1e-3", "#d1495b")):
        rarer = np.histogram(moments, edges, weights=[float(data["rarer"][power]) for _, data in found.tracked])[0]
        some = of > 0
        axes.plot(
            _middle(edges)[some],
            rarer[some] / (float(power) * of[some]),
            color=colour,
            marker=".",
            label=f"rarer than {power}",
        )
    axes.axhline(1.0, color="#c3ccd5", linestyle=":")
    _legend(axes)
    return figure


def _latency(found: Found, edges: Any) -> Any:
    figure, axes = _axes("seconds", "Event to alert", edges)
    if ages := found.ages():
        axes.plot(_hours([at for at, _ in ages], edges), [age for _, age in ages], ".", color="#8b98a5", markersize=3)
        axes.set_yscale("symlog", linthresh=0.01)
        axes.set_ylim(0)
    return figure


def _models(found: Found, edges: Any) -> Any:
    figure, axes = _axes("version", "Models at work", edges)
    for name in sorted({name for _, data in found.tracked for name in data["models"]}):
        told = [(at, int(data["models"][name])) for at, data in found.tracked if name in data["models"]]
        axes.step(_hours([at for at, _ in told], edges), [version for _, version in told], where="post", label=name)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _legend(axes)
    return figure
