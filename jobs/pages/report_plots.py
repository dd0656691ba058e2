"""The plots of a report about a period."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from streamgauge.jobs.pages.html import COLOURS, axes_of, plain, png
from streamgauge.jobs.studies.report import PeriodRecords

BUCKETS = 48
HOUR = 3.6e6


def plots(found: PeriodRecords, since: int, until: int) -> list[dict[str, str]]:
    """All plots: name, and PNG as base64.

    Parameters
    ----------
    found : PeriodRecords
    since, until : int
        Milliseconds.
    """
    edges = np.linspace(since, max(until, since + 1), BUCKETS + 1)
    made = {
        "incidents": _incidents,
        "precision": _precision,
        "recall": _recall,
        "calibration": _calibration,
        "latency": _latency,
        "models": _models,
    }
    return [{"name": name, "png": png(draw(found, edges))} for name, draw in made.items()]


def _axes(y: str, title: str, edges: Any) -> tuple[Any, Any]:
    figure, axes = axes_of("hours before the end", y, title)
    axes.set_xlim((edges[0] - edges[-1]) / HOUR, 0)
    return figure, axes


def _hours(moments: Sequence[int], edges: Any) -> Any:
    return (np.asarray(moments, dtype=np.float64) - edges[-1]) / HOUR


def _middle(edges: Any) -> Any:
    return _hours((edges[1:] + edges[:-1]) / 2, edges)


def _plot_share_so_far(axes: Any, results: list[tuple[int, bool]], edges: Any, **style: Any) -> None:
    """Draw the share of the results up to each moment that are true."""
    hits = [hit for _, hit in results]
    axes.plot(_hours([at for at, _ in results], edges), np.cumsum(hits) / np.arange(1, len(hits) + 1), **style)


def _legend(axes: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)


def _incidents(found: PeriodRecords, edges: Any) -> Any:
    figure, axes = _axes("opened", "Incidents by kind", edges)
    below = np.zeros(BUCKETS)
    for kind, colour in COLOURS.items():
        moments = [at for at, e in found.alerts if e["data"]["state"] == "opened" and e["data"]["kind"] == kind]
        if moments:
            counts = np.histogram(moments, edges)[0]
            axes.bar(_middle(edges), counts, (edges[1] - edges[0]) / HOUR, below, color=colour, label=plain(kind))
            below += counts
    _legend(axes)
    return figure


def _precision(found: PeriodRecords, edges: Any) -> Any:
    figure, axes = _axes("share found true, so far", "Precision, by feedback", edges)
    if judged := found.judged():
        _plot_share_so_far(axes, judged, edges, color="#1f6feb", marker=".")
    axes.set_ylim(0, 1.05)
    return figure


def _recall(found: PeriodRecords, edges: Any) -> Any:
    figure, axes = _axes("share found, so far", "Recall of probes", edges)
    for kind, colour in COLOURS.items():
        mine = [
            (at, data["probe"]["found"])
            for at, data in found.tracked
            if data["probe"] and data["probe"]["kind"] == kind
        ]
        if mine:
            _plot_share_so_far(axes, mine, edges, color=colour, label=plain(kind), marker=".")
    axes.set_ylim(0, 1.05)
    _legend(axes)
    return figure


def _calibration(found: PeriodRecords, edges: Any) -> Any:
    figure, axes = _axes("observed / promised", "Calibration", edges)
    moments = [at for at, _ in found.tracked]
    of = np.histogram(moments, edges, weights=[float(data["of"]) for _, data in found.tracked])[0]
    for power, colour in (("1e-2", "#1f6feb"), ("1e-3", "#d1495b")):
        rarer = np.histogram(moments, edges, weights=[float(data["rarer"][power]) for _, data in found.tracked])[0]
        not_empty = of > 0
        axes.plot(
            _middle(edges)[not_empty],
            rarer[not_empty] / (float(power) * of[not_empty]),
            color=colour,
            marker=".",
            label=f"rarer than {power}",
        )
    axes.axhline(1.0, color="#c3ccd5", linestyle=":")
    _legend(axes)
    return figure


def _latency(found: PeriodRecords, edges: Any) -> Any:
    figure, axes = _axes("seconds", "Event to alert", edges)
    if ages := found.ages():
        axes.plot(_hours([at for at, _ in ages], edges), [age for _, age in ages], ".", color="#8b98a5", markersize=3)
        axes.set_yscale("symlog", linthresh=0.01)
        axes.set_ylim(0)
    return figure


def _models(found: PeriodRecords, edges: Any) -> Any:
    figure, axes = _axes("version", "Live models", edges)
    for name in sorted({name for _, data in found.tracked for name in data["models"]}):
        live = [(at, int(data["models"][name])) for at, data in found.tracked if name in data["models"]]
        axes.step(
            _hours([at for at, _ in live], edges), [version for _, version in live], where="post", label=plain(name)
        )
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _legend(axes)
    return figure
