"""How well the pipeline detects on public benchmarks: one configuration for all, and no row is scored with knowledge of later rows."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score
from streamgauge.jobs.files.read_files import Columns
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.backtest import Backtest, backtest
from streamgauge.models.catalog import ONLINE
from streamgauge.models.contract import Flags, Floats
from streamgauge.models.detectors.channel.field_channels import FieldChannels
from streamgauge.models.errors import InputError
from streamgauge.models.evaluation.nab_score import PROFILES, Series, judged_from, nab_score
from streamgauge.udfs.output.alert import score_of
from streamgauge.udfs.scoring.join import SEEN_BEFORE
from streamgauge.udfs.settings.detectors import DetectorSettings

MARKS = {
    "nab": "combined_windows.json",
    "kdd99_10pct": "kddcup*",
    "tabular": "*.npz",
    "skab": "*.csv",
}  # a file that the folder of each benchmark contains
FIVE = (  # the series for which OpenSearch publishes figures
    "ec2_cpu_utilization_24ae8d",
    "ec2_network_in_257a54",
    "ec2_disk_write_bytes_1ef3de",
    "rds_cpu_utilization_e47b3b",
    "rds_cpu_utilization_cc0c53",
)
SEED = 0  # for the random order of tabular records
NOT_JUDGED = 500  # the first records of a stream are not judged; or its first tenth, if that is less
DETAILS = ("families", "series", "details")  # figures that are too long for a page
RECALL = 0.5  # false positives are compared at this recall

OnRows = Callable[[int], None]


def run(suite: str, data: Path, settings: Settings, on_rows: OnRows = lambda _: None) -> dict[str, Any]:
    """Figures of one benchmark.

    Parameters
    ----------
    suite : {"nab", "kdd", "tabular", "skab"}
    data : Path
        Folder with the benchmark's archive (``nab.tar.gz``, ``kdd99_10pct.tar.gz``, ``tabular.tar.gz``, ``skab.tar.gz``) or its
        unpacked folder.
    settings : Settings
    on_rows : callable
        Called with the number of rows that were just scored.

    Raises
    ------
    InputError
        The data are not there.
    """
    with tempfile.TemporaryDirectory() as scratch:
        return {"nab": _nab, "kdd": _kdd, "tabular": _tabular, "skab": _skab}[suite](
            data, settings, Path(scratch), on_rows
        )


def table(suite: str, figures: dict[str, Any]) -> str:
    """The figures as a page in Markdown."""
    lines = [f"# Scores on {suite}", "", f"`streamgauge benchmark {suite} --data DIR` wrote this page.", ""]
    rows = figures.get("sets")
    if rows:
        columns = list(rows[0])
        lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        lines += ["| " + " | ".join(cell(row[c]) for c in columns) + " |" for row in rows]
        lines.append("")
    lines += ["| figure | value |", "|---|---|"]
    lines += [f"| {name} | {cell(value)} |" for name, value in shown(figures).items()]
    return "\n".join(lines) + "\n"


def shown(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures that stand below the table of a page; details are in the JSON only."""
    return {name: value for name, value in figures.items() if name not in ("sets", *DETAILS)}


def cell(value: Any) -> str:
    """A figure as it is shown: three digits; a dict as its names and values."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1g}" if 0 < abs(value) < 0.001 else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    if isinstance(value, tuple):
        return " / ".join(map(cell, value))
    return ", ".join(f"{k} {cell(v)}" for k, v in value.items()) if isinstance(value, dict) else str(value)


# ---- Numenta Anomaly Benchmark -------------------------------------------------------------------------------------


def _nab(data: Path, settings: Settings, scratch: Path, on_rows: OnRows) -> dict[str, Any]:
    root = _unpacked(data, "nab", scratch)
    windows = _windows(root)
    files = list(windows)
    results = backtest(files, settings, Columns(time="timestamp"), on_rows=on_rows)
    series = [Series(result.scores, windows[file]) for file, result in zip(files, results, strict=True)]
    figures: dict[str, Any] = {}
    for name, profile in PROFILES.items():
        figures[name], figures[f"{name}_threshold"] = nab_score(series, profile)
    fixed = score_of(SEEN_BEFORE)
    for name, profile in PROFILES.items():
        figures[f"fixed_{name}"] = nab_score(series, profile, fixed)[0]
    figures["fixed_threshold"] = round(float(np.exp(-SEEN_BEFORE)), 12)
    alerted = [
        Series(np.isin(np.arange(len(one.scores)), _opened(result)).astype(np.float64), one.windows)
        for one, result in zip(series, results, strict=True)
    ]
    for name, profile in PROFILES.items():
        figures[f"alerts_{name}"] = nab_score(alerted, profile, 1.0)[0]
    five = [(one, result) for file, one, result in zip(files, series, results, strict=True) if file.stem in FIVE]
    return figures | {"opensearch_five": _incidents(five), "all": _incidents(list(zip(series, results, strict=True)))}


def _windows(root: Path) -> dict[Path, list[tuple[int, int]]]:
    """First and last row of each labelled window, by file."""
    place, found = _one(root, "combined_windows.json"), {}
    with _readable(place):
        labels = msgspec.json.decode(place.read_bytes(), type=dict[str, list[tuple[str, str]]])
    for key, windows in labels.items():
        file = _one(root, f"data/{key}")
        with _readable(file):
            moments = pd.to_datetime(pd.read_csv(file)["timestamp"]).tolist()
        try:
            ends = [(moments.index(pd.Timestamp(first)), moments.index(pd.Timestamp(last))) for first, last in windows]
        except ValueError as error:
            raise InputError(f"{place}: {key}: a window begins or ends at no time of the file: {error}") from error
        found[file] = sorted(ends)
    if not any(found.values()):
        raise InputError(f"{place} names no window, so nothing can be judged")
    return found


def _incidents(streams: list[tuple[Series, Backtest]]) -> dict[str, int]:
    """Alerts that opened in the judged rows, at the default threshold."""
    alerts = false = found = 0
    for series, result in streams:
        judged = [row for row in _opened(result) if row >= judged_from(len(series.scores))]
        hits = {window for window in series.windows for row in judged if window[0] <= row <= window[1]}
        alerts += len(judged)
        false += sum(not any(a <= row <= b for a, b in series.windows) for row in judged)
        found += len(hits)
    windows = sum(len(series.windows) for series, _ in streams)
    return {"alerts": alerts, "false_alerts": false, "windows_found": found, "windows": windows}


def _opened(result: Backtest) -> list[int]:
    """Rows that opened an incident."""
    alerts = [json.loads(alert)["data"] for alert in result.alerts]
    return [data["source"]["offset"] for data in alerts if data["state"] == "opened"]


# ---- labelled records ----------------------------------------------------------------------------------------------


def _kdd(data: Path, settings: Settings, scratch: Path, on_rows: OnRows) -> dict[str, Any]:
    """The http connections of KDD 99 (10 %), in the order of the file: numeric fields, without labels.

    A second figure is for the connections that were logged in. The literature calls only these http (Yamanishi et al., SmartSifter, KDD
    2000).
    """
    root = _unpacked(data, "kdd99_10pct", scratch)
    file = next((f for f in sorted(root.rglob(MARKS["kdd99_10pct"])) if f.is_file()), None)
    if file is None:
        raise InputError(f"{data} holds no file {MARKS['kdd99_10pct']}")
    with _readable(file):
        raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        frame = pd.read_csv(io.BytesIO(raw), header=None)
        http = frame[frame[2] == "http"]
        labels = (http[41] != "normal.").to_numpy()
        values = http.drop(columns=[41]).select_dtypes("number").to_numpy(np.float64)
        inside = (http[11] == 1).to_numpy()
    figures = _compare({"kdd http": (values, labels)}, settings, scratch, on_rows)
    logged_in = _compare({"kdd http logged in": (values[inside], labels[inside])}, settings, scratch, on_rows)
    return figures | {"logged_in_records": int(inside.sum()), "logged_in_auroc": logged_in["mean_auroc"]}


def tabular_sets(data: Path, settings: Settings, scratch: Path) -> dict[str, tuple[Floats, Flags]]:
    """Records and labels of the tabular sets with more than 1,000 records, each in one fixed random order."""
    sets = {}
    for file in sorted(_unpacked(data, "tabular", scratch).rglob("*.npz")):
        with _readable(file):
            with np.load(file, allow_pickle=False) as arrays:
                X, y = arrays["X"].astype(np.float64), arrays["y"] > 0
            order = np.random.default_rng(SEED).permutation(len(y))
            if X.shape[1] <= settings.event.max_fields and len(y) > 1000:
                sets[file.stem] = (X[order], y[order])
    return sets


def _tabular(data: Path, settings: Settings, scratch: Path, on_rows: OnRows) -> dict[str, Any]:
    """Tabular sets, in one fixed random order."""
    return _compare(tabular_sets(data, settings, scratch), settings, scratch, on_rows)


def _skab(data: Path, settings: Settings, scratch: Path, on_rows: OnRows) -> dict[str, Any]:
    """Each file of SKAB as a stream, in order."""
    sets = {}
    for file in sorted(_unpacked(data, "skab", scratch).rglob("*.csv")):
        with _readable(file):
            frame = pd.read_csv(file, sep=";")
            if "anomaly" in frame:
                values = frame.drop(columns=["datetime", "anomaly", "changepoint"]).to_numpy(np.float64)
                sets[f"{file.parent.name}/{file.stem}"] = (values, frame["anomaly"].to_numpy() > 0)
    return _compare(sets, settings, scratch, on_rows)


def _compare(
    sets: dict[str, tuple[Floats, npt.NDArray[np.bool_]]], settings: Settings, scratch: Path, on_rows: OnRows
) -> dict[str, Any]:
    """Compare the ensemble with each of its members that scores records, on labelled sets."""
    if not sets:
        raise InputError("these data hold no labelled set that can be judged")
    files = []
    for name, (X, y) in sets.items():
        if len(set(y[_judged(len(y))].tolist())) < 2:
            raise InputError(f"{name}: the labels that are judged are all alike, so nothing can be compared")
        frame = pd.DataFrame(X, columns=[f"f{k}" for k in range(X.shape[1])])
        frame["label"] = y.astype(float)
        files.append(scratch / f"{name.replace('/', '-')}.parquet")
        frame.to_parquet(files[-1])
    rows: list[dict[str, Any]] = [
        {"set": name, "records": len(y), "fields": X.shape[1]} for name, (X, y) in sets.items()
    ]
    false: dict[str, list[int]] = {}
    for who, chosen in {"ensemble": settings, **_alone(settings)}.items():
        results = backtest(files, chosen, Columns(label="label"), on_rows=on_rows)
        for row, result in zip(rows, results, strict=True):
            assert result.labels is not None
            judged = _judged(len(result.scores))
            y, scores = result.labels[judged] > 0, result.scores[judged]
            row[who] = float(roc_auc_score(y, scores))
            if who == "ensemble":
                row["average precision"] = float(average_precision_score(y, scores))
            false.setdefault(who, []).append(false_positives(y, scores))
    means = {who: float(np.mean([row[who] for row in rows])) for who in false}
    figures: dict[str, Any] = {"sets": rows, "mean_auroc": means}
    best = max((who for who in means if who != "ensemble"), key=means.__getitem__, default=None)
    if best is None:
        return figures
    ratios = [mine / max(1, theirs) for mine, theirs in zip(false["ensemble"], false[best], strict=True)]
    return figures | {
        "best_single": best,
        "false_positives_to_best_single_at_half_recall": float(np.median(ratios)),
    }


def _judged(n: int) -> slice:
    """The rows of a stream of `n` that are judged."""
    return slice(min(NOT_JUDGED, n // 10), None)


def false_positives(labels: Flags, scores: Floats) -> int:
    """Number of normal records at or above the score at which half of all anomalies are found.

    Parameters
    ----------
    labels : bool[n]
        At least one is true.
    scores : float64[n]
    """
    limit = np.quantile(scores[labels], 1.0 - RECALL, method="lower")
    return int((scores[~labels] >= limit).sum())


def _alone(settings: Settings) -> dict[str, Settings]:
    """For each detector that ranks records: settings with this detector only."""
    alone: dict[str, Settings] = {}
    for name in DetectorSettings.model_fields:
        chosen = getattr(settings.detectors, name)
        if chosen is None or ONLINE[name].apart or issubclass(ONLINE[name], FieldChannels):
            continue
        if "records" in chosen.streams:
            only = DetectorSettings.model_validate(
                dict.fromkeys(DetectorSettings.model_fields) | {name: chosen.model_dump(exclude={"streams"})}
            )
            alone[name] = settings.model_copy(update={"detectors": only})
    return alone


# ---- files ---------------------------------------------------------------------------------------------------------


def _unpacked(data: Path, name: str, scratch: Path) -> Path:
    archive = data / f"{name}.tar.gz"
    if archive.is_file():
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(scratch / name, filter="data")
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise InputError(f"{archive} cannot be read: {error}") from error
        return scratch / name
    for folder in (data / name, data):
        if any(folder.rglob(MARKS[name])):
            return folder
    raise InputError(f"{data} holds neither {archive.name} nor the folder {name}")


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Raise InputError where a file turns out to be damaged, or to hold something else."""
    try:
        yield
    except (ValueError, TypeError, LookupError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        why = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{file} cannot be read: {why.partition(chr(10))[0]}") from error


def _one(root: Path, ending: str) -> Path:
    for file in sorted(root.rglob(Path(ending).name)):
        if file.as_posix().endswith(ending):
            return file
    raise InputError(f"{root} holds no {ending}")
