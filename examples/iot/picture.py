"""The picture of the pumps: what was planted, and where alerts opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from examples.play import Planted, Stream

DAY = 86_400_000
FIELDS = {
    "drift": "pressure",
    "temper": "temperature",
    "silenc": "pressure",
    "bearin": "vibration",
    "runs w": "temperature",
}  # the field to draw, by the first letters of the kind of anomaly


def draw(stream: Stream) -> Callable[[list[dict[str, Any]], Path], None]:
    """A function that draws the first five pumps with anomalies, given the alerts and the PNG file to write."""

    def show(alerts: list[dict[str, Any]], path: Path) -> None:
        shown = [stream.planted[k] for k in range(5)]
        figure = Figure(figsize=(12, 9), layout="constrained")
        panels = figure.subplots(len(shown), 1)
        for axes, planted in zip(panels, shown, strict=True):
            _draw_one(axes, stream, planted, alerts)
        panels[-1].set_xlabel("days after four weeks of learning; planted (yellow), alert opened (red)")
        figure.savefig(path, dpi=110)

    return show


def _draw_one(axes: Any, stream: Stream, planted: Planted, alerts: list[dict[str, Any]]) -> None:
    name = next(value for key, value in FIELDS.items() if planted.kind.startswith(key[:5]))
    low, high = planted.start - 2 * DAY, planted.end + 2 * DAY

    def day(time: int) -> float:
        return (time - stream.judged_from) / DAY

    values = [
        (day(at), fields[name]) for entity, at, fields in stream.events if entity == planted.entity and low < at < high
    ]
    axes.plot([at for at, _ in values], [value for _, value in values], ".", color="#33475b", markersize=1.5)
    axes.axvspan(day(planted.start), day(planted.end), color="#f6c344", alpha=0.3)
    for alert in alerts:
        if alert["entity"] == planted.entity and alert["state"] == "opened" and low < alert["at"] < high:
            axes.axvline(day(alert["at"]), color="#d1242f", linewidth=1)
            axes.text(day(alert["at"]), axes.get_ylim()[1], f" {alert['kind']}", color="#d1242f", fontsize=8, va="top")
    axes.set_title(f"{planted.entity}, {name}: {planted.kind}", loc="left", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
