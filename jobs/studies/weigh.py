"""Weights for the members of the ensemble, measured on files: by labels, or by agreement if there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
from streamgauge.jobs.studies.backtest import Backtest
from streamgauge.jobs.studies.judging import ranked_member
from streamgauge.models.contract import Flags, Floats
from streamgauge.models.ensemble.weights import weights_by_agreement, weights_by_labels
from streamgauge.models.errors import InputError

LEAST, MOST = 0.01, 10.0  # range of the weights that are proposed
WARM = 200  # the first events of each stream do not count


def weigh(results: list[Backtest]) -> list[dict[str, Any]]:
    """How well each member detects, and the weight proposed for it.

    Parameters
    ----------
    results : list of Backtest
        Results with labels, or without.

    Returns
    -------
    list of dict
        ``member``, ``weight``, and with labels what `ranked_member` returns.

    Raises
    ------
    InputError
        Fewer than two members have an opinion, or all labels are the same.
    """
    names = results[0].member_names
    evidence = np.concatenate([result.members[WARM:] for result in results])
    opinionated = ~np.isnan(evidence).all(axis=0)
    if opinionated.sum() < 2:
        raise InputError(
            f"two members are needed that have an opinion on these events after the first {WARM}; there are: "
            f"{', '.join(np.array(names)[opinionated]) or 'none'}"
        )
    figures: list[dict[str, Any]] = [{"member": name} for name, there in zip(names, opinionated, strict=True) if there]
    evidence = evidence[:, opinionated]
    labels = None
    if all(result.labels is not None for result in results):
        labels = np.concatenate([result.labels[WARM:] > 0 for result in results if result.labels is not None])
        if not 0 < labels.sum() < len(labels):
            raise InputError("all labels are alike: they cannot tell good members from bad ones")
        for one, column in zip(figures, evidence.T, strict=True):
            one.update(ranked_member(labels, column))
    for one, weight in zip(figures, proposed(evidence, labels), strict=True):
        one["weight"] = weight
    return figures


def proposed(evidence: Floats, labels: Flags | None) -> list[float]:
    """Weights as a control message holds them.

    Parameters
    ----------
    evidence : float64[n, members]
        Evidence of each member; NaN where it has no opinion.
    labels : bool[n], optional
        Labels, some true and some false. Without labels, members are weighed by their agreement.
    """
    weights = weights_by_agreement(evidence) if labels is None else weights_by_labels(evidence, labels)
    return [round(weight, 3) for weight in np.clip(weights, LEAST, MOST).tolist()]
