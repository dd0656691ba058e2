"""Verdicts to incidents: one opens, grows, and ends, whatever the number of records in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.entities.entity_store import (
    AGE,
    CONFIG,
    FLAPS,
    HELD_AFTER,
    HELD_CHANGES,
    HELD_LAST,
    HELD_MEAN,
    HELD_N,
    HELD_SQUARES,
    HISTORY,
    HITS,
    OPENED_OFFSET,
    OPENED_PARTITION,
    OPENED_TIME,
    PEAK,
    QUIET,
    RECENT,
    RELEASED,
    STATUS,
    TOLD,
    EntityStore,
)  # fmt: skip
from streamgauge.udfs.settings.pipeline import DecideSettings

OPENED, UPDATED, RESOLVED, RETRACTED = (
    1,
    2,
    3,
    4,
)  # the last one by late events alone (`udfs.pipeline.window_partition`)
# kinds of incident; its status holds the one it has, and a bit for each that was told
POINT, CONDITIONAL, CONTEXTUAL, COLLECTIVE, RELATIVE, DRIFT = range(1, 7)
KINDS = {
    POINT: "point",
    CONDITIONAL: "conditional",
    CONTEXTUAL: "contextual",
    COLLECTIVE: "collective",
    RELATIVE: "relative",
    DRIFT: "drift",
}
KIND_BITS = 4
FLAP_BITS = 48  # of `FLAPS`, for the event at which the last incident ended; above, how many followed each other
FLAPS_AT_ONCE, FLAPS_MOST = 3, 3  # an incident within so many times the quiet events after the last one follows it
# A level is new, and learned, when so many events in a row that were not are no farther from each other than is usual, in deviations
# of the entity, and go nowhere: their squares about the mean are not many times those of their changes.
LEVEL_EVENTS, LEVEL_SPREAD, LEVEL_TREND = 50, 2.0, 2.0
TENFOLD = math.log(10.0)  # ten times rarer is worth an update, ten times more usual than the threshold is quiet


def kind_of(status: int) -> int:
    """The kind of incident that a status holds."""
    return status & ((1 << KIND_BITS) - 1)


@dataclass(slots=True)
class Decisions:
    """Incidents that changed, in order, with the incident as it then was.

    Attributes
    ----------
    place : int64[m]
        Event that changed it.
    change : int64[m]
        OPENED, UPDATED or RESOLVED.
    incident : int64[m, 12]
        Row of `EntityStore.head`.
    peak : float64[m]
        Largest surprise so far.
    flagged : bool[n]
        For each event, whether it stands at or beyond the threshold.
    """

    place: Ints
    change: Ints
    incident: Ints
    peak: Floats
    flagged: Flags


def decide(
    store: EntityStore,
    rows: Ints,
    seen: Ints,
    surprise: Floats,
    violated: Flags,
    times: Ints,
    offsets: Ints,
    partitions: Ints,
    thresholds: Floats,
    rank: Floats,
    config: int,
    settings: DecideSettings,
    kinds: Ints,
    muted: Flags | None = None,
    held: Flags | None = None,
    away: Floats | None = None,
    quarantine: int = 0,
) -> Decisions:
    """Follow the incidents of the entities through events in row order.

    An event at or beyond the threshold, as the `hits`-th among the last `within` of its entity, or one that violates a rule, opens
    an incident where there is none; within one, an event ten times rarer than what was last told is an update, and so is the first of
    another kind; `quiet_events` in a row, each ten times more usual than the threshold, by rank, too, end it. An incident soon after the
    last one needs twice as many, the next one four times, and so on: what flaps becomes one incident.

    While an incident lasts, from its 16th event on, events are held back from learning, until they turn out to be a new level, or
    there were `quarantine` of them.

    Parameters
    ----------
    store : EntityStore
        Its incidents are changed.
    rows, seen : int64[n]
        Row of each event's entity, and events of it so far.
    surprise : float64[n]
    violated : bool[n]
        Whether a rule is violated: alerts at once, warm or not.
    times, offsets, partitions : int64[n]
    thresholds : float64[n]
        Tail probability for each event.
    rank : float64[n]
        Surprise of each event by itself, however sure: an incident that is there goes on for it.
    config : int
        Mark of the configuration, kept with the incident.
    settings : DecideSettings
    kinds : int64[n]
        Kind of incident that each event would be (`udfs.incidents.classify`).
    muted : bool[n], optional
        Events that do not count, whatever their surprise (`udfs.incidents.suppress`).
    held : bool[n], optional
        Events that are not learned (`EntityStore.touch`).
    away : float64[n], optional
        How far each is from what is usual for the entity, in its deviations; NaN is unknown.
    quarantine : int
        Events of an incident that may be held back; 0 is none.
    """
    n = len(rows)
    flagged = np.zeros(n, np.bool_)
    place, change = np.zeros(n, np.int64), np.zeros(n, np.int64)
    # an event changes one incident at most once
    incident, peak = np.zeros((n, store.head.shape[1]), np.int64), np.zeros(n)
    m = _decide(
        store.head, store.levels, rows, seen, surprise, violated, kinds, np.zeros(n, np.bool_) if muted is None else muted,
        np.zeros(n, np.bool_) if held is None else held, np.full(n, np.nan) if away is None else away, quarantine, times, offsets,
        partitions, -np.log(thresholds), rank, settings.quiet_events, settings.warmup, settings.hits, (1 << settings.within) - 1, config,
        flagged, place, change, incident, peak,
    )  # fmt: skip
    return Decisions(place[:m], change[:m], incident[:m], peak[:m], flagged)


@njit(cache=True)
def _decide(  # type: ignore[no-untyped-def]
    head, levels, rows, seen, surprise, violated, kinds, muted, held, away, quarantine, times, offsets, partitions, limits,
    rank, quiet_events, warmup, hits, window, config, flagged, place, change, incident, peak,
):  # fmt: skip
    m = 0
    for i in range(len(rows)):
        row, now, limit, what = rows[i], surprise[i], limits[i], 0
        over = violated[i] or (now >= limit and seen[i] > warmup and not muted[i])
        flagged[i] = over
        recent = ((head[row, RECENT] << 1) | over) & window
        head[row, RECENT] = recent
        head[row, HISTORY] = head[row, HISTORY] << 1 & (1 << HELD_AFTER + 1) - 1
        if head[row, STATUS] == 0:
            if not over:
                continue
            anomalous = 0
            while recent:
                anomalous += recent & 1
                recent >>= 1
            if anomalous < hits and not violated[i]:
                continue
            head[row, STATUS] = kinds[i] | 1 << (KIND_BITS + kinds[i])
            head[row, QUIET], head[row, HITS] = 0, 1
            flaps, ended = head[row, FLAPS] >> FLAP_BITS, head[row, FLAPS] & ((1 << FLAP_BITS) - 1)
            follows = ended > 0 and seen[i] - ended <= FLAPS_AT_ONCE * quiet_events
            head[row, FLAPS] = min(flaps + 1, FLAPS_MOST) << FLAP_BITS if follows else 0
            head[row, OPENED_TIME], head[row, OPENED_OFFSET] = times[i], offsets[i]
            head[row, OPENED_PARTITION], head[row, CONFIG] = partitions[i], config
            levels[row, PEAK] = levels[row, TOLD] = now
            what = OPENED
        elif over:
            head[row, HITS] += 1
            head[row, QUIET] = 0
            levels[row, PEAK] = max(levels[row, PEAK], now)
            news = not head[row, STATUS] >> (KIND_BITS + kinds[i]) & 1
            if news:
                head[row, STATUS] = (
                    (head[row, STATUS] >> KIND_BITS << KIND_BITS) | kinds[i] | 1 << (KIND_BITS + kinds[i])
                )
            if news or now >= levels[row, TOLD] + TENFOLD:
                levels[row, TOLD] = max(levels[row, TOLD], now)
                what = UPDATED
        elif max(now, rank[i]) < limit - TENFOLD:
            head[row, QUIET] += 1
            if head[row, QUIET] >= quiet_events << (head[row, FLAPS] >> FLAP_BITS):
                what = RESOLVED
        else:
            head[row, QUIET] = 0
        if what:
            place[m], change[m], peak[m] = i, what, levels[row, PEAK]
            incident[m] = head[row]
            m += 1
        if what == RESOLVED:
            head[row, FLAPS] = (head[row, FLAPS] >> FLAP_BITS << FLAP_BITS) | seen[i]
            head[row, STATUS:] = 0
            levels[row, :] = 0.0
        elif quarantine and not head[row, RELEASED]:
            head[row, AGE] += 1
            if head[row, AGE] > quarantine or (held[i] and _is_level(levels[row], away[i])):
                head[row, RELEASED] = 1
            else:
                head[row, HISTORY] |= 1
    return m


@njit(cache=True)
def _is_level(level, away):  # type: ignore[no-untyped-def]
    """Whether what is held back, with one more event, is a new level."""
    if math.isnan(away):
        return False
    n = level[HELD_N] = level[HELD_N] + 1.0
    apart = away - level[HELD_MEAN]
    level[HELD_MEAN] += apart / n
    level[HELD_SQUARES] += apart * (away - level[HELD_MEAN])
    if n > 1.0:
        level[HELD_CHANGES] += (away - level[HELD_LAST]) ** 2
    level[HELD_LAST] = away
    spread = level[HELD_SQUARES] / max(n - 1.0, 1.0)
    steady = spread <= LEVEL_SPREAD**2 and level[HELD_SQUARES] <= LEVEL_TREND * level[HELD_CHANGES] / 2.0
    return n >= LEVEL_EVENTS and steady
