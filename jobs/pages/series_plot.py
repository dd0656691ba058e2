"""Plots of long series: few points, none of the spikes lost."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from streamgauge.jobs.pages.demo_plot import WINDOW
from streamgauge.jobs.pages.html import COLOURS, PLAIN, png
from streamgauge.jobs.pages.thinned import thinned
from streamgauge.jobs.studies.backtest import Backtest
from streamgauge.jobs.studies.incident_series import IncidentSeries
from streamgauge.jobs.studies.judging import segments
from streamgauge.models.contract import Floats

SHAPES = {"low": ("o", 5), "medium": ("s", 6), "high": ("^", 8), "critical": ("D", 8)}  # marker and size
MOST_SPANS = 500  # labelled segments, and durations of incidents, in a plot
# If all values take more than `FLAT` times the room of the middle 98 % of them, the axis shows that middle and `AROUND` times its room
# on each side. Otherwise one odd value would make a line of the rest.
FLAT, AROUND = 20.0, 2.0
FEW = 100  # up to this many values are shown as points, too
LARGEST = 1e300  # what is beyond this cannot be drawn


def draw(series: IncidentSeries, result: Backtest, timed: bool) -> str:
    """The plot of a series as base64 text: its values, its incidents by kind and severity, and labelled segments.

    Parameters
    ----------
    series : IncidentSeries
    result : Backtest
        The stream that the series belongs to.
    timed : bool
        Whether the rows have times; else their numbers are shown.
    """
    rows, values = series.rows, np.clip(series.values, -LARGEST, LARGEST)
    moments = result.times.astype("datetime64[ms]") if timed else np.arange(len(result.times))
    with mpl.rc_context(PLAIN):
        figure = Figure(figsize=(9, 2.1), layout="constrained")
        axes = figure.subplots()
        places = thinned(values)
        marker = "." if len(values) <= FEW else None
        axes.plot(moments[rows[places]], values[places], color="#33475b", linewidth=0.6, marker=marker)
        if result.labels is not None:
            for first, last in segments((result.labels[rows] > 0).astype(np.int64))[:MOST_SPANS]:
                ends = moments[rows[first]], moments[rows[last]]
                axes.axvspan(*ends, color=WINDOW, alpha=0.5, linewidth=0.8, zorder=0)
        low, high = _limits(axes, values, series)
        for one in series.incidents[:MOST_SPANS]:
            last = rows[-1] if one.is_open else one.last
            axes.axvspan(moments[one.row], moments[last], 0, 0.03, color=COLOURS[one.kind], alpha=0.6, linewidth=0)
        of_row = dict(zip(rows.tolist(), values.tolist(), strict=True))
        for one in series.incidents:
            shape, size = SHAPES[one.last_alert["severity"]]
            value = of_row.get(one.row, np.nan)
            y = low if np.isnan(value) else min(max(value, low), high)
            look: dict[str, Any] = {"color": COLOURS[one.kind], "markersize": size, "markeredgecolor": "white"}
            axes.plot(moments[one.row], y, shape, **look, clip_on=False, zorder=3)
        axes.set_ylabel("score" if series.of_scores else "value")
        axes.margins(x=0.005)
        if timed:
            locator = AutoDateLocator(maxticks=10)
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        else:
            axes.set_xlabel("row")
        return png(figure)


def _limits(axes: Any, values: Floats, series: IncidentSeries) -> tuple[float, float]:
    """Set the ends of the y axis, and return them. Where the axis is cut, the title says how far the values reach."""
    if series.of_scores:
        axes.set_ylim(0, 1.02)
        return 0.0, 1.02
    smallest, largest = float(np.nanmin(values)), float(np.nanmax(values))
    low, high = np.nanpercentile(values, (1, 99)).tolist()
    room = high - low
    if 0.0 < room * FLAT < largest - smallest:
        ends = max(smallest, low - AROUND * room), min(largest, high + AROUND * room)
        axes.set_ylim(*ends)
        reach = f"{np.nanmin(series.values):.6g} to {np.nanmax(series.values):.6g}"
        axes.set_title(f"axis cut: values from {reach}", loc="left", fontsize=8)
        return ends
    return smallest, largest
