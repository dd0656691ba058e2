"""What the studies on labelled streams share: segments, openings of incidents, and streams scored in several processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, TypeVar

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score
from streamgauge.jobs.studies.backtest import Backtest
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.incidents.kinds import ENDED

Work = TypeVar("Work")
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Opening:
    """The opening of an incident, and how far the incident reached.

    Attributes
    ----------
    row, last : int
        Row of the event at which the incident opened, and of the last alert about it.
    entity, kind, severity : str
        As the first alert says.
    first_alert, last_alert : dict
        Data of the first and of the last alert about it.
    """

    row: int
    last: int
    entity: str
    kind: str
    severity: str
    first_alert: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    last_alert: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_open(self) -> bool:
        """Whether the incident was still open when the stream ended."""
        return self.last_alert["state"] not in ENDED

    @property
    def top_field(self) -> str | None:
        """The field with the largest part in the event that opened the incident; None if no field has a part."""
        shares = self.first_alert.get("contributions")
        return max(shares, key=shares.get) if shares else None


def openings(result: Backtest) -> list[Opening]:
    """All incidents of a stream, in the order in which they opened."""
    alerts: dict[str, list[dict[str, Any]]] = {}
    for text in result.alerts:
        data = json.loads(text)["data"]
        alerts.setdefault(data["alert_id"], []).append(data)
    return [
        Opening(
            result.row_of(of[0]["source"], "opened_offset"),
            max(result.row_of(data["source"]) for data in of),
            of[0]["entity"],
            of[0]["kind"],
            of[0]["severity"],
            of[0],
            of[-1],
        )
        for of in alerts.values()
        if of[0]["state"] == "opened"
    ]


def segments(labels: Ints) -> list[tuple[int, int]]:
    """First and last place of each run of labels that are not 0.

    Parameters
    ----------
    labels : int64[n]
    """
    edges = np.diff(np.concatenate(([0], (np.asarray(labels) != 0).astype(np.int64), [0])))
    return list(zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True))


def harmonic_mean(precision: float, recall: float) -> float:
    """F1; 0 if both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def ranked_member(labels: Flags, evidence: Floats) -> dict[str, Any]:
    """How well one member alone ranks the rows for which it has an opinion.

    Parameters
    ----------
    labels : bool[n]
    evidence : float64[n]
        NaN where the member has no opinion.

    Returns
    -------
    dict
        ``rows`` with an opinion, ``roc_auc``, ``pr_auc``; both are None if the labels of these rows are all alike.
    """
    known = ~np.isnan(evidence)
    labels, evidence = labels[known], evidence[known]
    both = 0 < labels.sum() < len(labels)
    return {
        "rows": len(labels),
        "roc_auc": float(roc_auc_score(labels, evidence)) if both else None,
        "pr_auc": float(average_precision_score(labels, evidence)) if both else None,
    }


def in_processes(work: Callable[[Work], Done], items: Iterable[Work], processes: int | None = None) -> Iterator[Done]:
    """What `work` returns for each item, as soon as it is there.

    Parameters
    ----------
    work : callable
        A function of a module.
    items : iterable
    processes : int, optional
        All cores by default; 1 stays in this process.
    """
    if processes == 1:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for job in as_completed([pool.submit(work, item) for item in items]):
            yield job.result()
