"""Scored events for tests, made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from streamgauge.udfs.scoring.opinions import EVIDENCE, Opinions, Verdicts
from streamgauge.udfs.scoring.scorer import Scored

CHANNELS = ["level", "time of day"]
NAMES = [*CHANNELS, "loda", "forest shadow", "value_novelty"]
LEVEL, TIME_OF_DAY, LODA, SHADOW, NOVELTY = range(5)
KINDS_OF_MEMBERS = ["point", "contextual", "point", "point", "point"]


def scored_of(n: int = 1, fields: int = 2, text_fields: int = 0, **given: Any) -> Scored:
    """Scored events, n of them, of which nothing is said but what is given by name.

    Given may be: `members` (evidence by member), `by_kind` (evidence by kind), `joined` (evidence of all looks), `looks` (evidence of each
    field by channel), `blame` (share of each field, told by the member `loda`), `text_blame`, `expected` (of each field), and `steady`,
    `usual` and `variations` of each field. One value, or one row, stands for all events.
    """

    def each(name: str, shape: tuple[int, ...], default: float, kind: type = np.float64) -> Any:
        return np.broadcast_to(np.asarray(given.pop(name, default), dtype=kind), shape).copy()

    members = np.full((n, len(NAMES)), np.nan)
    for name, evidence in given.pop("members", {}).items():
        members[:, NAMES.index(name)] = evidence
    by_kind = np.zeros((n, len(EVIDENCE)))
    for kind, evidence in given.pop("by_kind", {}).items():
        by_kind[:, EVIDENCE.index(kind)] = evidence
    looks = np.full((n, fields, len(CHANNELS)), np.nan)
    for name, evidence in given.pop("looks", {}).items():
        looks[:, :, CHANNELS.index(name)] = evidence
    contributions: list[Any] = [None] * len(NAMES)
    contributions[LODA] = each("blame", (n, fields), np.nan)
    if not np.isnan(contributions[LODA]).all():
        members[:, LODA] = np.where(np.isnan(members[:, LODA]), 1.0, members[:, LODA])
    nothing = np.zeros(n)
    opinions = Opinions(
        list(NAMES),
        members,
        contributions,
        [each("expected", (n, fields), np.nan)],
        nothing,
        each("text_blame", (n, text_fields), 0.0),
        np.empty((0, 0)),
        np.empty((n, 0), np.bool_),
        looks,
        nothing,
        by_kind,
    )
    joined = each("joined", (n,), np.nan)
    verdicts = Verdicts(members, np.nan_to_num(joined), nothing, np.zeros((n, 2)), by_kind, joined)
    steady, usual = each("steady", (n, fields), False, np.bool_), each("usual", (n, fields), False, np.bool_)
    variations = each("variations", (n, fields), np.nan)
    assert not given, f"unknown: {sorted(given)}"
    return Scored(
        opinions, verdicts, np.full((n, 3 * fields), np.nan), np.zeros((n, text_fields)), steady, usual, variations
    )


def without(scored: Scored, channel: str) -> Scored:
    """The same events where a channel is not used."""
    place = CHANNELS.index(channel)
    names = [f"unused {name}" if name == channel else name for name in scored.opinions.names]
    looks = np.delete(scored.opinions.looks, place, axis=2)
    opinions = replace(scored.opinions, names=names, looks=looks)
    return replace(scored, opinions=opinions)
