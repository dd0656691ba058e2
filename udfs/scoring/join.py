"""Many looks at an event become one evidence."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.kernel import kernel
from streamgauge.udfs.scoring.opinions import EVIDENCE

OF_FIELDS = len(EVIDENCE)  # the column of a member that has parts of several kinds
# An event that resembles the entity's past has less evidence than this: a tail probability of 1 in 10,000. Up to `AS_IT_IS`, evidence is
# not changed.
SEEN_BEFORE = math.log(1e4)
AS_IT_IS = 7.0
# A value is new to its entity if the evidence of its novelty is at least `NOVEL`. Novelty counts half after `FEW` values.
NOVEL, FEW = 8.5, 100.0


def join_fields(looks: Floats, kinds: Ints) -> tuple[Floats, Floats]:
    """Join the tail probabilities of all channels and fields by their harmonic mean.

    Each channel has the same weight, which is divided among the fields. The weighted harmonic mean of tail probabilities is a tail
    probability, nearly, however they depend on each other. One that is very small is not hidden by others that are large: it counts as if
    it stood alone, less the logarithm of the number of channels, and of fields.

    Parameters
    ----------
    looks : float64[n, d, channels]
        Evidence of each channel for each field; NaN where it cannot judge.
    kinds : int64[channels]
        Column of `EVIDENCE` of each channel.

    Returns
    -------
    joined : float64[n]
        At least 0; NaN where there is no look.
    by_kind : float64[n, 5]
        The part of each kind: the joined evidence if all other looks found nothing.

    Notes
    -----
    Wilson, The harmonic mean p-value for combining dependent tests, PNAS 116, 2019.
    """
    joined, parts = np.empty(len(looks)), np.zeros((len(looks), OF_FIELDS + 1))
    _join(looks, kinds, np.ones(len(kinds)), joined, parts)
    return joined, parts[:, :OF_FIELDS]


def join(evidence: Floats, present: Flags, kinds: Ints, weights: Floats) -> tuple[Floats, Floats]:
    """Join the tail probabilities of members by their weighted harmonic mean; see `join_fields`.

    Parameters
    ----------
    evidence : float64[n, m]
    present : bool[n, m]
        Whether the member judges the event.
    kinds : int64[m]
        Column of `EVIDENCE` of each member, or `OF_FIELDS`.
    weights : float64[m]
        How much each member counts, above 0.

    Returns
    -------
    joined : float64[n]
    parts : float64[n, 6]
        The part of each kind; the last column is the part of the member of kind `OF_FIELDS`.
    """
    joined, parts = np.empty(len(evidence)), np.zeros((len(evidence), OF_FIELDS + 1))
    _join(np.where(present, evidence, np.nan)[:, None, :], kinds, weights, joined, parts)
    return joined, parts


def ranked(joined: Floats, novelty: Floats, seen: Ints) -> Floats:
    """Evidence that events are ranked by.

    What resembles the past cannot be rarer than the past is long. So evidence above `AS_IT_IS` grows slower, up to `SEEN_BEFORE`, unless
    the value is new to its entity.

    Parameters
    ----------
    joined : float64[n]
        NaN counts as 0.
    novelty : float64[n]
        Evidence that no such value was seen; NaN is unknown.
    seen : int64[n]
        Events of the entity so far.

    Returns
    -------
    float64[n]
    """
    ranks = np.empty(len(joined))
    _rank(joined, novelty, seen, ranks)
    return ranks


@kernel
def _rank(joined, novelty, seen, ranks):  # type: ignore[no-untyped-def]
    room = SEEN_BEFORE - AS_IT_IS
    for i in range(len(joined)):
        evidence = 0.0 if math.isnan(joined[i]) else joined[i]
        over = max(evidence - AS_IT_IS, 0.0)
        is_new = novelty[i] * seen[i] / (seen[i] + FEW) >= NOVEL  # False where the novelty is NaN
        ranks[i] = SEEN_BEFORE + evidence if is_new else min(evidence, AS_IT_IS) + room * over / (over + room)


@njit(cache=True)
def _join(looks, kinds, weights, joined, by_kind):  # type: ignore[no-untyped-def]
    fields, channels = looks.shape[1], looks.shape[2]
    prices = np.empty(channels)
    for i in range(looks.shape[0]):
        most, whole = -math.inf, 0.0
        for k in range(channels):
            known, largest = 0, -math.inf
            for f in range(fields):
                if not math.isnan(looks[i, f, k]):
                    known += 1
                    largest = max(largest, looks[i, f, k])
            if known > 0:
                prices[k] = math.log(known / weights[k])
                whole += weights[k]
                most = max(most, largest - prices[k])
        if whole == 0.0:
            joined[i] = math.nan
            continue
        total = 0.0
        for k in range(channels):
            for f in range(fields):
                if not math.isnan(looks[i, f, k]):
                    part = math.exp(looks[i, f, k] - prices[k] - most)
                    total += part
                    by_kind[i, kinds[k]] += part
        level = most - math.log(whole)
        joined[i] = max(level + math.log(total), 0.0)
        for c in range(by_kind.shape[1]):
            by_kind[i, c] = max(level + math.log(by_kind[i, c]), 0.0) if by_kind[i, c] > 0.0 else 0.0
