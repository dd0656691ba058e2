"""The picture of the demo: each series with its labelled windows and the incidents that opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from streamgauge.jobs.pages.html import plain
from streamgauge.models.contract import Floats

WINDOW, FOUND, FALSE = "#f6c344", "#1a7f37", "#d1242f"  # colours


@dataclass(frozen=True)
class PlottedSeries:
    """What the picture shows of a series.

    Attributes
    ----------
    name : str
    values : float64[n]
    windows : list of (int, int)
        First and last row of each labelled window.
    opened : list of int
        Rows at which incidents opened.
    """

    name: str
    values: Floats
    windows: list[tuple[int, int]]
    opened: list[int]


def draw(series: list[PlottedSeries], path: Path) -> None:
    """Draw the series below each other.

    Parameters
    ----------
    series : list of PlottedSeries
    path : Path
        PNG file to write.
    """
    figure = Figure(figsize=(13, 1.75 * len(series)), layout="constrained")
    legend: dict[str, Any] = {}
    for axes, one in zip(figure.subplots(len(series), 1, squeeze=False)[:, 0], series, strict=True):
        _draw_one(axes, one)
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            legend.setdefault(label, handle)
    figure.legend(legend.values(), legend.keys(), loc="upper right", ncols=3, fontsize=8, frameon=False)
    figure.suptitle("Streamgauge: incidents opened, one configuration for all series", x=0.01, ha="left", fontsize=11)
    figure.savefig(path, dpi=110)


def _draw_one(axes: Any, series: PlottedSeries) -> None:
    axes.plot(series.values, color="#33475b", linewidth=0.6)
    for first, last in series.windows:
        axes.axvspan(first, last, color=WINDOW, alpha=0.4, linewidth=0, label="labelled window")
    inside = [row for row in series.opened if any(first <= row <= last for first, last in series.windows)]
    outside = [row for row in series.opened if row not in inside]
    for rows, marker, colour, label in (
        (inside, "o", FOUND, "alert in a window"),
        (outside, "x", FALSE, "alert elsewhere"),
    ):
        if rows:
            axes.plot(rows, series.values[rows], marker, color=colour, markersize=6, label=label)
    axes.set_title(plain(series.name.replace("_", " ")), loc="left", fontsize=9, pad=3)
    axes.tick_params(labelsize=7)
    axes.margins(x=0.005)
    axes.spines[["top", "right"]].set_visible(False)
