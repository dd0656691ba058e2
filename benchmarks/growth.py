"""How the cost of an event grows: with entities, fields, partitions, detectors, and the number of events in a batch.

One shard runs in this process on one core, without Kafka and Flink, and saves its state as in the job. The cost is the processor time of
an event. Each curve has the point of the defaults in it: 1,000 entities, four fields, four partitions, batches of 2,000. In each round all
points are measured once; figures are minimum, median and maximum of the rounds. With --picture, the curves are drawn.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from streamgauge.jobs.settings.loading import parsed
from streamgauge.jobs.settings.strict_yaml import write
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.settings.pipeline import PipelineSettings

from benchmarks.common import finish, payloads, say

WARM_UP, MEASURED = 120_000, 200_000  # events of four fields; of more fields in proportion fewer
FEWEST = 6_000
DETECTORS: dict[str, dict[str, Any]] = {
    "z-score only": dict.fromkeys(("levels", "day_profile", "lasting_mean", "runs", "relations", "value_novelty"))
    | dict.fromkeys(("peer_deviation", "histogram_density", "loda", "online_isolation_forest", "extreme_value"))
    | {"rolling_z_score": {}},
    "no ensemble": dict.fromkeys(("histogram_density", "loda", "online_isolation_forest", "extreme_value")),
    "default": {},
    "and trees": {"half_space_trees": {}},
    "and 5 more": {"half_space_trees": {}}
    | {name: {} for name in ("mahalanobis", "empirical_tail", "cusum", "modified_z_score")},
}


@dataclass(frozen=True)
class Point:
    """What is measured."""

    entities: int = 1000
    fields: int = 4
    partitions: int = 4
    batch: int = 2000
    detectors: str = "default"


CURVES: dict[str, tuple[Any, ...]] = {
    "entities": (100, 1000, 10_000, 100_000, 1_000_000),
    "fields": (1, 4, 16, 64, 256, 1000),
    "partitions": (1, 4, 20, 100, 200),
    "batch": (1, 24, 250, 2000, 10_000),
    "detectors": tuple(DETECTORS),
}


def cost(point: Point) -> dict[str, float]:
    """Microseconds of an event, and bytes of its message, at a point."""
    shard = Shard(settings_of(point))
    scale = max(1.0, point.fields / 4) * max(1.0, 100 / point.batch)
    measured = max(FEWEST, int(MEASURED / scale), 4 * point.batch)
    warm = max(FEWEST, int(WARM_UP / scale), point.entities)
    keys, values = payloads(min(warm + measured, max(point.entities, measured)), point.entities, fields=point.fields)
    partition = np.array([int(key.rpartition(b"-")[2]) % point.partitions for key in keys])
    last = np.zeros(point.partitions, np.int64)
    seconds, done = 0.0, 0
    for start in range(0, warm + measured, point.batch):
        rows = np.arange(start, start + point.batch) % len(values)
        where, offsets = partition[rows], np.empty(len(rows), np.int64)
        for p in np.unique(where):
            mine = where == p
            offsets[mine] = last[p] + np.arange(mine.sum())
            last[p] += mine.sum()
        raw = RawBatch([values[i] for i in rows], where, offsets, np.full(len(rows), 1_760_000_000_000) + start)
        began = time.process_time()
        shard.process(raw)
        if start >= warm:
            seconds += time.process_time() - began
            done += len(rows)
    return {"us": seconds / done * 1e6, "bytes": float(np.mean([len(value) for value in values[:1000]]))}


def settings_of(point: Point) -> PipelineSettings:
    """The defaults, but for the detectors of the point."""
    return parsed(write({"detectors": DETECTORS[point.detectors]}), "growth").pipeline()


def draw(curves: dict[str, list[dict[str, Any]]], file: Path) -> None:
    """A picture of all curves: microseconds of an event, least to most, against what grows."""
    figure = Figure(figsize=(10, 2.8 * -(-len(curves) // 2)), layout="constrained")
    panels = figure.subplots(-(-len(curves) // 2), 2, squeeze=False).ravel()
    for axes, (name, runs) in zip(panels, curves.items(), strict=False):
        least, middle, most = np.array([run["us"] for run in runs]).T
        at = np.arange(len(runs)) if name == "detectors" else np.array([run["at"] for run in runs], float)
        axes.errorbar(at, middle, (middle - least, most - middle), marker="o", capsize=3)
        if name == "detectors":
            axes.set_xticks(at, [run["at"] for run in runs], rotation=20)
        else:
            axes.set_xscale("log")
            axes.set_yscale("log")
        axes.set_xlabel("events in a batch" if name == "batch" else name)
        axes.set_ylabel("µs of an event")
        axes.grid(alpha=0.3, which="both")
    for axes in panels[len(curves) :]:
        axes.remove()
    figure.savefig(file, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--curves", nargs="+", choices=list(CURVES), default=list(CURVES))
    parser.add_argument("--most", type=int, default=1_000_000, help="largest number of entities (default: 1000000)")
    parser.add_argument("--picture", type=Path, help="file for the picture of the curves; none without it")
    options = parser.parse_args()
    grid = {
        name: [replace(Point(), **{name: at}) for at in CURVES[name] if name != "entities" or at <= options.most]
        for name in options.curves
    }
    points = sorted({point for curve in grid.values() for point in curve}, key=str)
    cost(Point())  # kernels are compiled or loaded
    found: dict[Point, list[dict[str, float]]] = {point: [] for point in points}
    for number in range(options.runs):
        for point in points:
            found[point].append(cost(point))
            say(f"round {number + 1}: {point}: {found[point][-1]['us']:.1f} us")
    curves = {
        name: [
            {
                "at": getattr(point, name),
                "us": np.quantile([run["us"] for run in found[point]], (0, 0.5, 1)).round(2).tolist(),
                "bytes": round(found[point][0]["bytes"]),
            }
            for point in curve
        ]
        for name, curve in grid.items()
    }
    if options.picture:
        draw(curves, options.picture)
    finish({"curves": curves, "runs": options.runs})


if __name__ == "__main__":
    main()
