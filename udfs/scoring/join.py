"""Many looks at an event become one evidence."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.scoring.opinions import EVIDENCE

# An event that resembles the entity's past has less evidence than this: a tail probability of 1 in 10,000. Up to `AS_IT_IS`, evidence is
# not changed.
SEEN_BEFORE = math.log(1e4)
AS_IT_IS = 7.0
# A value is new to its entity if the evidence of its novelty is at least `NOVEL`. Novelty counts half after `FEW` values.
NOVEL, FEW = 8.5, 100.0


def join(looks: Floats, kinds: Ints, members: Floats, present: Flags, kinds_of_members: Ints) -> tuple[Floats, Floats]:
    """Join tail probabilities by their harmonic mean.

    Each channel and each member has the same weight; a channel's weight is divided among the fields. The weighted harmonic mean of tail
    probabilities is a tail probability, nearly, however they depend on each other. One that is very small is not hidden by others that are
    large: it counts as if it stood alone, less the logarithm of the number of channels, and of fields.

    Parameters
    ----------
    looks : float64[n, d, channels]
        Evidence of each channel for each field; NaN where it cannot judge.
    kinds : int64[channels]
        Column of `EVIDENCE` of each channel.
    members : float64[n, m]
        Evidence of further members, which judge the whole event.
    present : bool[n, m]
        Whether the member judges the event.
    kinds_of_members : int64[m]
        Column of `EVIDENCE` of each of these members.

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
    joined, by_kind = np.empty(len(looks)), np.zeros((len(looks), len(EVIDENCE)))
    _join(looks, kinds, members, present, kinds_of_members, joined, by_kind)
    return joined, by_kind


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
    evidence = np.nan_to_num(joined)
    room = SEEN_BEFORE - AS_IT_IS
    over = np.maximum(evidence - AS_IT_IS, 0.0)
    bounded = np.minimum(evidence, AS_IT_IS) + room * over / (over + room)
    new = np.nan_to_num(novelty) * seen / (seen + FEW)
    ranks: Floats = np.where(new >= NOVEL, SEEN_BEFORE + evidence, bounded)
    return ranks


@njit(cache=True)
def _join(looks, kinds, members, present, kinds_of_members, joined, by_kind):  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    fields, channels = looks.shape[1], looks.shape[2]
    prices = np.empty(channels)
    for i in range(looks.shape[0]):
        most, number = 0.0, 0
        for k in range(channels):
            known, largest = 0, 0.0
            for f in range(fields):
                if not math.isnan(looks[i, f, k]):
                    known += 1
                    largest = max(largest, looks[i, f, k])
            prices[k] = math.log(max(known, 1))
            number += known > 0
            most = max(most, largest - prices[k])
        for k in range(members.shape[1]):
            if present[i, k]:
                number += 1
                most = max(most, members[i, k])
        if number == 0:
            joined[i] = math.nan
            continue
        total = 0.0
        for k in range(channels):
            for f in range(fields):
                if not math.isnan(looks[i, f, k]):
                    part = math.exp(looks[i, f, k] - prices[k] - most)
                    total += part
                    by_kind[i, kinds[k]] += part
        for k in range(members.shape[1]):
            if present[i, k]:
                part = math.exp(members[i, k] - most)
                total += part
                by_kind[i, kinds_of_members[k]] += part
        level = most - math.log(number)
        joined[i] = max(level + math.log(total), 0.0)
        for c in range(by_kind.shape[1]):
            by_kind[i, c] = max(level + math.log(by_kind[i, c]), 0.0) if by_kind[i, c] > 0.0 else 0.0
