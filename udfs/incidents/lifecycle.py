"""Evidence to incidents: one opens, grows and ends, whatever the number of events in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.entities.columns import (
    AGE,
    CONFIG,
    FLAPS,
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
    QUARANTINED_AFTER,
    QUIET,
    RECENT,
    RELEASED,
    REPORTED,
    STATUS,
)
from streamgauge.udfs.entities.entity_store import EntityStore
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.incidents.kinds import KIND_BITS, OPENED, RESOLVED, UPDATED
from streamgauge.udfs.settings.pipeline import DecideSettings

FLAP_BITS = 48  # of `FLAPS`, for the event at which the last incident ended; above, how many followed each other
FLAPS_AT_ONCE, FLAPS_MOST = 3, 3  # an incident within so many times the quiet events after the last one follows it
# Quarantined events are a new level, and learned, when so many in a row are no farther from each other than is usual, in deviations
# of the entity, and go nowhere: the squares about their mean are not many times those of their changes.
LEVEL_EVENTS, LEVEL_SPREAD, LEVEL_TREND = 50, 2.0, 2.0
TENFOLD = math.log(10.0)  # ten times rarer is worth an update, ten times more usual than the threshold is quiet


@dataclass(frozen=True, slots=True)
class Candidates:
    """What each event of a stretch would be as a part of an incident.

    Attributes
    ----------
    alertable : float64[n]
        Evidence that an alert may rest on, as far as it may be severe.
    evidence : float64[n]
        Of each event by itself: an incident that is open goes on for it.
    violated : bool[n]
        Whether a rule is broken: that opens an incident at once, whatever is known of the entity.
    suppressed : bool[n]
        Events that do not count, whatever their evidence.
    kinds : int64[n]
        Kind of incident that each event would be.
    thresholds : float64[n]
        Tail probability in force for each event.
    deviations : float64[n]
        How far each event is from what is usual for the entity, over all fields; NaN is unknown.
    """

    alertable: Floats
    evidence: Floats
    violated: Flags
    suppressed: Flags
    kinds: Ints
    thresholds: Floats
    deviations: Floats


@dataclass(slots=True)
class Decisions:
    """Incidents that changed, in order, with the incident as it then was.

    Attributes
    ----------
    place : int64[m]
        Event that changed it.
    change : int64[m]
        OPENED, UPDATED, RESOLVED or RETRACTED.
    incident : int64[m, 20]
        Row of `EntityStore.head`.
    peak : float64[m]
        Largest evidence so far.
    anomalous : bool[n]
        For each event, whether it stands at or beyond the threshold, and counts.
    """

    place: Ints
    change: Ints
    incident: Ints
    peak: Floats
    anomalous: Flags


class Lifecycle:
    """Follows the incidents of entities.

    An event at or beyond the threshold opens an incident where there is none, if it is the `hits`-th among the last `within` of its
    entity; an event that breaks a rule opens one at once. In an open incident, an event ten times rarer than the one reported last is
    an update, and so is the first event of another kind. The incident ends after `quiet_events` in a row, each ten times more usual
    than the threshold. An incident soon after the last one needs twice as many quiet events, the next one four times as many: what
    flaps becomes one incident.

    From its 16th event on, the events of an incident are quarantined (scored, not learned), until they turn out to be a new level or
    until there were `quarantine` of them.

    Parameters
    ----------
    settings : DecideSettings
    config : int
        Mark of the configuration, kept with each incident.
    quarantine : int
        Events of an incident that may be quarantined; 0 is none.
    """

    def __init__(self, settings: DecideSettings, config: int, quarantine: int) -> None:
        self.settings, self.config, self.quarantine = settings, config, quarantine

    def follow(self, store: EntityStore, stretch: Stretch, candidates: Candidates) -> Decisions:
        """Follow the incidents through events in row order.

        Parameters
        ----------
        store : EntityStore
            Its incidents are changed.
        stretch : Stretch
        candidates : Candidates
        """
        n, settings = len(stretch), self.settings
        anomalous = np.zeros(n, np.bool_)
        place, change = np.zeros(n, np.int64), np.zeros(n, np.int64)
        # an event changes one incident at most once
        incident, peak = np.zeros((n, store.head.shape[1]), np.int64), np.zeros(n)
        m = _follow(
            store.head,
            store.levels,
            stretch.rows,
            stretch.seen,
            candidates.alertable,
            candidates.violated,
            candidates.kinds,
            candidates.suppressed,
            stretch.quarantined,
            candidates.deviations,
            self.quarantine,
            stretch.events.times,
            stretch.offsets,
            stretch.partitions,
            -np.log(candidates.thresholds),
            candidates.evidence,
            settings.quiet_events,
            settings.warmup,
            settings.hits,
            (1 << settings.within) - 1,
            self.config,
            anomalous,
            place,
            change,
            incident,
            peak,
        )
        return Decisions(place[:m], change[:m], incident[:m], peak[:m], anomalous)


@njit(cache=True)
def _follow(  # type: ignore[no-untyped-def]  # noqa: PLR0913  compiled kernel
    head, levels, rows, seen, alertable, violated, kinds, suppressed, held, away, quarantine, times, offsets, partitions, needed,
    evidence, quiet_events, warmup, hits, window, config, anomalous, place, change, incident, peak,
):  # fmt: skip
    m = 0
    for i in range(len(rows)):
        row, now, limit, what = rows[i], alertable[i], needed[i], 0
        over = violated[i] or (now >= limit and seen[i] > warmup and not suppressed[i])
        anomalous[i] = over
        recent = ((head[row, RECENT] << 1) | over) & window
        head[row, RECENT] = recent
        head[row, HISTORY] = head[row, HISTORY] << 1 & (1 << QUARANTINED_AFTER + 1) - 1
        if head[row, STATUS] == 0:
            if not over:
                continue
            many = 0
            while recent:
                many += recent & 1
                recent >>= 1
            if many < hits and not violated[i]:
                continue
            head[row, STATUS] = kinds[i] | 1 << (KIND_BITS + kinds[i])
            head[row, QUIET], head[row, HITS] = 0, 1
            flaps, ended = head[row, FLAPS] >> FLAP_BITS, head[row, FLAPS] & ((1 << FLAP_BITS) - 1)
            follows = ended > 0 and seen[i] - ended <= FLAPS_AT_ONCE * quiet_events
            head[row, FLAPS] = min(flaps + 1, FLAPS_MOST) << FLAP_BITS if follows else 0
            head[row, OPENED_TIME], head[row, OPENED_OFFSET] = times[i], offsets[i]
            head[row, OPENED_PARTITION], head[row, CONFIG] = partitions[i], config
            levels[row, PEAK] = levels[row, REPORTED] = now
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
            if news or now >= levels[row, REPORTED] + TENFOLD:
                levels[row, REPORTED] = max(levels[row, REPORTED], now)
                what = UPDATED
        elif max(now, evidence[i]) < limit - TENFOLD:
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
    """Whether the quarantined events, with one more, are a new level."""
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
