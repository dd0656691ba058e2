"""Families of labelled series: which faults are found, how many incidents are right, and how the scores rank beside plain baselines.

The rows before a series' train boundary, or else its first 15 %, are scored and learned, but not judged. A segment is a run of labelled
rows. It is found if an incident opens in it, or if one of its rows is at the threshold. An incident is right if it opens in a segment.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.metrics import average_precision_score, roc_auc_score
from streamgauge.jobs.files.read_files import Rows
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.backtest import Backtest, score_stream
from streamgauge.jobs.studies.judging import Opening, harmonic_mean, in_processes, openings, segments
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.errors import InputError
from streamgauge.models.evaluation.baselines import baselines

FED = 0.15  # share of a series without a train boundary that is not judged
MERGED = ("ms_api_latency",)  # families whose series are entities of one stream
START = 1_760_000_000.0  # seconds since 1970, for series that have no clock
CLOCK = 1e8  # times below this are not seconds since 1970
CHUNK = 20_000
COUNTS = ("segments", "found", "incidents", "inside", "early", "rows")


@dataclass
class LabelledSeries:
    """A series with labels.

    Attributes
    ----------
    family, name : str
    times : float64[n]
        Seconds since 1970, or since the start where there is no clock.
    X : float64[n, d]
        NaN is missing.
    labels : int64[n]
    fed : int
        Rows that are not judged.
    entities : int64[n] or None
        Entity of each row, if there are several.
    """

    family: str
    name: str
    times: Floats
    X: Floats
    labels: Ints
    fed: int
    entities: Ints | None = None

    def rows(self) -> Iterator[Rows]:
        """The series as rows of a file."""
        times = self.times
        if times[-1] < CLOCK:
            times = START + times * (60 if times[1] - times[0] <= 1 else 1)
        moments = np.round(times * 1e6).astype(np.int64) // 1000
        names = [f"m{k:02d}" for k in range(self.X.shape[1])]
        for begin in range(0, len(self.X), CHUNK):
            part = slice(begin, min(begin + CHUNK, len(self.X)))
            who = [self.name] * (part.stop - begin) if self.entities is None else self.names[part].tolist()
            fields = {name: pa.array(self.X[part, k], from_pandas=True) for k, name in enumerate(names)}
            yield Rows(who, moments[part], None, fields)

    @property
    def names(self) -> np.ndarray[Any, np.dtype[np.object_]]:
        """Name of each row's entity."""
        assert self.entities is not None
        return np.array([f"e{k}" for k in self.entities.tolist()], object)

    def judged_segments(self) -> list[list[int]]:
        """The rows of each segment that begins after the rows that are not judged."""
        who = [np.arange(len(self.X))]
        if self.entities is not None:
            who = [np.flatnonzero(self.entities == one) for one in np.unique(self.entities)]
        runs = [rows[first : last + 1].tolist() for rows in who for first, last in segments(self.labels[rows])]
        return [run for run in runs if run[0] >= self.fed]


@dataclass
class Judged:
    """What came of one series.

    Attributes
    ----------
    family, name : str
    segments, found, incidents, inside, early, rows : int
        `early` are incidents in the rows that are not judged; `incidents` are all others.
    auroc, aucpr : float or None
        None if the judged rows have labels of one kind only.
    baselines : dict of str to (float, float)
        AUROC and AUC-PR of each baseline.
    plot : str
        PNG as base64, if it was asked for.
    """

    family: str
    name: str
    segments: int = 0
    found: int = 0
    incidents: int = 0
    inside: int = 0
    early: int = 0
    rows: int = 0
    auroc: float | None = None
    aucpr: float | None = None
    baselines: dict[str, tuple[float, float]] = field(default_factory=dict)
    plot: str = ""

    @property
    def best(self) -> str | None:
        """The baseline with the largest AUC-PR."""
        return max(self.baselines, key=lambda name: self.baselines[name][1], default=None)


Draw = Callable[[LabelledSeries, Backtest, list[Opening]], str]


def families(data: Path, chosen: tuple[str, ...] = ()) -> list[Path]:
    """The archives of families in a folder, sorted.

    Raises
    ------
    InputError
        There is none, or a chosen one is not there.
    """
    found = {file.name.removesuffix(".tar.gz"): file for file in sorted(data.glob("*.tar.gz"))}
    if not found:
        raise InputError(f"{data} holds no family: an archive FAMILY.tar.gz with a file SERIES.npz for each series")
    if unknown := sorted(set(chosen) - found.keys()):
        raise InputError(f"{data} holds no family {unknown[0]!r}; it holds: {', '.join(found)}")
    return [file for name, file in found.items() if not chosen or name in chosen]


def read(archive: Path) -> list[LabelledSeries]:
    """The series of a family.

    Raises
    ------
    InputError
        The archive or one of its files cannot be read; the message names it and what is wrong.
    """
    family, series = archive.name.removesuffix(".tar.gz"), []
    try:
        with tarfile.open(archive) as tar:
            for member in sorted(tar.getmembers(), key=lambda one: one.name):
                stored = tar.extractfile(member) if member.name.endswith(".npz") else None
                if stored is not None:
                    name = PurePosixPath(member.name).stem
                    series.append(_series(family, name, stored.read(), f"{archive}: {member.name}"))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{archive} cannot be read: {error}") from error
    if not series:
        raise InputError(f"{archive} holds no file that ends in .npz")
    return [_merged(family, series)] if family in MERGED else series


def _series(family: str, name: str, content: bytes, place: str) -> LabelledSeries:
    """One series from the bytes of its file."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            t, X, y = arrays["t"].astype(np.float64), arrays["X"].astype(np.float64), arrays["y"].astype(np.int64)
            fed = int(arrays["train_rows"]) if "train_rows" in arrays else 0
            entities = np.unique(arrays["entity"], return_inverse=True)[1] if "entity" in arrays else None
    except KeyError as error:
        raise InputError(f"{place} has no array {error.args[0]!r}; a series has t, X, y and train_rows") from error
    except (ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{place} cannot be read as numbers: {error}") from error
    if X.ndim != 2 or t.shape != (len(X),) or y.shape != (len(X),) or len(X) < 2 or not X.shape[1]:
        raise InputError(
            f"{place} has t {t.shape}, X {X.shape} and y {y.shape}; expected (n,), (n, d) and (n,), n from 2"
        )
    if entities is not None and entities.shape != t.shape:
        raise InputError(f"{place} has entity {entities.shape}; expected {t.shape}")
    if not np.isfinite(t).all() or not 0 <= fed < len(X):
        raise InputError(f"{place} has times that are not finite, or train_rows {fed} of {len(X)} rows")
    return _in_order(LabelledSeries(family, name, t, X, y, fed or int(FED * len(X)), entities))


def _merged(family: str, series: list[LabelledSeries]) -> LabelledSeries:
    """Several series as entities of one stream."""
    if len({one.X.shape[1] for one in series}) > 1:
        raise InputError(f"the series of {family} are entities of one stream, but their numbers of fields differ")
    entities = np.repeat(np.arange(len(series)), [len(one.X) for one in series])
    t, X, y = (np.concatenate([getattr(one, name) for one in series]) for name in ("times", "X", "labels"))
    return _in_order(LabelledSeries(family, family, t, X, y, int(FED * len(X)), entities))


def _in_order(series: LabelledSeries) -> LabelledSeries:
    """The rows of several entities in the order of time; a series of one entity is as it is in the file."""
    if series.entities is not None:
        order = np.argsort(series.times, kind="stable")
        series.times, series.X, series.labels = series.times[order], series.X[order], series.labels[order]
        series.entities = series.entities[order]
    return series


def without_first(series: LabelledSeries, rows: int) -> LabelledSeries:
    """A series without its first rows: how far figures change with them is chance.

    Raises
    ------
    InputError
        No row would be left before those that are judged.
    """
    if not 0 <= rows < series.fed:
        raise InputError(
            f"--skip {rows}: {series.family}, {series.name} has {series.fed} rows before those that are judged, and at least "
            f"one must be left: give 0 to {series.fed - 1}"
        )
    if not rows:
        return series
    entities = None if series.entities is None else series.entities[rows:]
    times, X, labels = series.times[rows:], series.X[rows:], series.labels[rows:]
    return replace(series, times=times, X=X, labels=labels, fed=series.fed - rows, entities=entities)


def judge(series: LabelledSeries, settings: Settings, draw: Draw | None = None) -> Judged:
    """Score one series, and judge it.

    Parameters
    ----------
    series : LabelledSeries
    settings : Settings
    draw : callable, optional
        Makes the series' plot.
    """
    result = score_stream(series.rows(), settings)
    opened = openings(result)
    judged = Judged(series.family, series.name, rows=len(series.X))
    rows = [one.row for one in opened if one.row >= series.fed]
    judged.incidents, judged.early = len(rows), len(opened) - len(rows)
    inside: set[int] = set()
    for run in series.judged_segments():
        members = set(run)
        hits = {k for k, row in enumerate(rows) if row in members}
        inside |= hits
        judged.segments += 1
        judged.found += bool(hits) or bool(result.flags[run].any())
    judged.inside = len(inside)
    labels = series.labels[series.fed :] != 0
    if 0 < labels.sum() < len(labels):
        judged.auroc, judged.aucpr = ranked(labels, result.scores[series.fed :])
        plain = baselines(series.X, series.fed, series.entities)
        judged.baselines = {name: ranked(labels, scores[series.fed :]) for name, scores in plain.items()}
    if draw is not None:
        judged.plot = draw(series, result, opened)
    return judged


def ranked(labels: Any, scores: Floats) -> tuple[float, float]:
    """AUROC and AUC-PR."""
    return float(roc_auc_score(labels, scores)), float(average_precision_score(labels, scores))


def run(
    archives: list[Path],
    settings: Settings,
    draw: Draw | None = None,
    *,
    skip: int = 0,
    on_rows: Callable[[int], None] = lambda _: None,
    on_total: Callable[[int], None] = lambda _: None,
    processes: int | None = None,
) -> tuple[dict[str, Any], list[Judged]]:
    """Figures of families, and what came of each series, sorted by family and name.

    Parameters
    ----------
    archives : list of Path
    settings : Settings
    draw : callable, optional
        Makes the plot of a series.
    skip : int
        Rows at the beginning of each series that are left out.
    on_rows, on_total : callable
        Called with the number of rows that were just scored, and once with the number of all rows.
    processes : int, optional
        All cores by default.

    Raises
    ------
    InputError
        An archive cannot be read, or `skip` leaves nothing before the rows that are judged.
    """
    series = [one for archive in archives for one in read(archive)]
    series.sort(key=lambda one: one.fed)  # an error names the series that allows the least
    series = sorted((without_first(one, skip) for one in series), key=lambda one: -one.X.size)
    on_total(sum(len(one.X) for one in series))
    results = []
    for judged in in_processes(partial(judge, settings=settings, draw=draw), series, processes):
        results.append(judged)
        on_rows(judged.rows)
    results.sort(key=lambda one: (one.family, one.name))
    return figures(results), results


def figures(results: list[Judged]) -> dict[str, Any]:
    """Figures of all families, with those of their series.

    Parameters
    ----------
    results : list of Judged
    """
    by_family: dict[str, list[Judged]] = {}
    for one in results:
        by_family.setdefault(one.family, []).append(one)
    rows = [_row(family, of) for family, of in sorted(by_family.items())]
    return {
        "sets": [_shown(row) for row in rows],
        "families": rows,
        "mean_auroc": _mean([row["auroc"] for row in rows if row["auroc"] is not None]),
        "mean_aucpr": _mean([row["aucpr"] for row in rows if row["aucpr"] is not None]),
        "baselines": {family: _mean_baselines(of) for family, of in sorted(by_family.items())},
        "series": [
            {"family": one.family, "series": one.name}
            | {name: getattr(one, name) for name in (*COUNTS, "auroc", "aucpr", "baselines")}
            for one in results
        ],
    }


def _row(family: str, of: list[Judged]) -> dict[str, Any]:
    """The figures of a family."""
    counts = {name: sum(getattr(one, name) for one in of) for name in COUNTS}
    precision = counts["inside"] / max(1, counts["incidents"])
    recall = counts["found"] / max(1, counts["segments"])
    plain = _mean_baselines(of)
    best = max(plain, key=lambda name: plain[name][1], default=None)
    return {
        "family": family,
        "series": len(of),
        **counts,
        "f1": harmonic_mean(precision, recall),
        "auroc": _mean([one.auroc for one in of if one.auroc is not None]),
        "aucpr": _mean([one.aucpr for one in of if one.aucpr is not None]),
        "best_baseline": best,
        "best_auroc": plain[best][0] if best else None,
        "best_aucpr": plain[best][1] if best else None,
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """The figures of a family as a row of the table."""
    best = row["best_baseline"]
    return {
        "family": row["family"],
        "found": f"{row['found']}/{row['segments']}",
        "inside": f"{row['inside']}/{row['incidents']}",
        "early": row["early"],
        "F1": row["f1"],
        "AUROC": row["auroc"],
        "AUC-PR": row["aucpr"],
        "baseline": f"{best} {row['best_aucpr']:.3f}" if best else None,
        "ahead": row["aucpr"] - row["best_aucpr"] if best else None,
    }


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _mean_baselines(of: list[Judged]) -> dict[str, tuple[float, float]]:
    """AUROC and AUC-PR of each baseline, as means over the series."""
    names = list(dict.fromkeys(name for one in of for name in one.baselines))
    means = {name: np.mean([one.baselines[name] for one in of if name in one.baselines], axis=0) for name in names}
    return {name: (float(mean[0]), float(mean[1])) for name, mean in means.items()}
