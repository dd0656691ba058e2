"""Evidence to incidents: many anomalous events of an entity become one incident, which opens, changes and ends."""

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
    HISTORY,
    HITS,
    OPENED_OFFSET,
    OPENED_PARTITION,
    OPENED_TIME,
    PEAK,
    QUARANTINED_AFTER,
    QUARANTINED_CHANGES,
    QUARANTINED_LAST,
    QUARANTINED_MEAN,
    QUARANTINED_N,
    QUARANTINED_SQUARES,
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

# The lowest bits of the column `FLAPS` hold the event at which the last incident ended, the bits above them the number of incidents that
# followed each other.
FLAP_BITS = 48
FLAPS_AT_ONCE = 3  # an incident follows the last one if it opens within this many times `quiet_events`
FLAPS_MOST = 3  # the number of quiet events that an incident needs doubles at most this often
# Quarantined events turn out to be a new level, and are learned from then on, if there are `LEVEL_EVENTS` of them, if their standard
# deviation is at most `LEVEL_SPREAD` (in deviations of the entity), and if they have no trend: the sum of squares about their mean is at
# most `LEVEL_TREND` times half the sum of squared changes from each event to the next. Without a trend, these two are about equal.
LEVEL_EVENTS, LEVEL_SPREAD, LEVEL_TREND = 50, 2.0, 2.0
# Evidence for ten times rarer. An event that is ten times rarer than the last one reported is worth an update; an event that is ten times
# more usual than the threshold is quiet.
TENFOLD = math.log(10.0)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the lifecycle of incidents needs of each event of a stretch.

    Attributes
    ----------
    alertable : float64[n]
        Alert evidence, limited where the severity of the event is (`Suppressed.most_evidence`).
    evidence : float64[n]
        Evidence of the single event. It cannot open an incident, but it keeps an open one from ending.
    violated : bool[n]
        Whether the event breaks a rule. Such an event opens an incident at once, even in the cold start of the entity.
    suppressed : bool[n]
        Whether the event does not count, whatever its evidence.
    kinds : int64[n]
        Kind of incident that each event would be; codes of `kinds`.
    evidence_needed : float64[n]
        Evidence from which on each event is anomalous.
    deviations : float64[n]
        Deviation of each event from what is usual for the entity, over all fields; NaN is unknown.
    """

    alertable: Floats
    evidence: Floats
    violated: Flags
    suppressed: Flags
    kinds: Ints
    evidence_needed: Floats
    deviations: Floats


@dataclass(slots=True)
class Decisions:
    """The changes of incidents, in the order of the events.

    Attributes
    ----------
    place : int64[m]
        Place of the event that changed the incident.
    change : int64[m]
        OPENED, UPDATED, RESOLVED or RETRACTED.
    incident : int64[m, 20]
        The incident after the change: a copy of the entity's row of `EntityStore.head`.
    peak : float64[m]
        Largest evidence of the incident so far.
    anomalous : bool[n]
        Whether each event breaks a rule, or is at or beyond the threshold and not suppressed.
    """

    place: Ints
    change: Ints
    incident: Ints
    peak: Floats
    anomalous: Flags


class Lifecycle:
    """Follows the incidents of entities.

    An entity has at most one open incident.

    - It opens with an anomalous event, if at least `hits` of the entity's last `within` events were anomalous. An event that breaks a
      rule opens an incident at once.
    - It is updated by an event that is ten times rarer than the one reported last, and by the first event of another kind.
    - It ends after `quiet_events` events in a row that are each ten times more usual than the threshold. If it opened soon after the last
      incident, it needs twice as many quiet events, the next one four times as many, and so on. So an entity that often changes between
      usual and anomalous has one long incident, not many short ones.

    From its 60th event on, the events of an incident are quarantined (scored, but not learned). This ends when they turn out to be a new
    level, and at the latest after `quarantine` events.

    Parameters
    ----------
    settings : DecideSettings
    config : int
        Mark of the configuration, kept with each incident.
    quarantine : int
        Most events of an incident that are quarantined; 0 is none.
    """

    def __init__(self, settings: DecideSettings, config: int, quarantine: int) -> None:
        self.settings, self.config, self.quarantine = settings, config, quarantine

    def follow(self, store: EntityStore, stretch: Stretch, candidates: Candidates) -> Decisions:
        """Follow the incidents through events in row order.

        Parameters
        ----------
        store : EntityStore
            The incidents in it are changed in place.
        stretch : Stretch
        candidates : Candidates
        """
        n, settings = len(stretch), self.settings
        anomalous = np.zeros(n, np.bool_)
        place, change = np.zeros(n, np.int64), np.zeros(n, np.int64)
        # One row for each event is enough: an event changes at most one incident, and only once.
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
            candidates.evidence_needed,
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
    head,
    levels,
    rows,
    seen,
    alertable,
    violated,
    kinds,
    suppressed,
    quarantined,
    deviations,
    quarantine,
    times,
    offsets,
    partitions,
    needed_by_event,
    evidence,
    quiet_events,
    warmup,
    hits,
    window,
    config,
    anomalous,
    place,
    change,
    incident,
    peak,
):
    """See `Lifecycle`. Writes the changes into `place`, `change`, `incident` and `peak`, and returns their number."""
    m = 0
    for i in range(len(rows)):
        row, alert_evidence, evidence_needed, changed = rows[i], alertable[i], needed_by_event[i], 0
        is_anomalous = violated[i] or (alert_evidence >= evidence_needed and seen[i] > warmup and not suppressed[i])
        anomalous[i] = is_anomalous
        recent = ((head[row, RECENT] << 1) | is_anomalous) & window
        head[row, RECENT] = recent
        head[row, HISTORY] = head[row, HISTORY] << 1 & (1 << QUARANTINED_AFTER + 1) - 1
        if head[row, STATUS] == 0:
            if not is_anomalous:
                continue
            anomalous_lately = 0
            while recent:
                anomalous_lately += recent & 1
                recent >>= 1
            if anomalous_lately < hits and not violated[i]:
                continue
            head[row, STATUS] = kinds[i] | 1 << (KIND_BITS + kinds[i])
            head[row, QUIET], head[row, HITS] = 0, 1
            followed, last_end = head[row, FLAPS] >> FLAP_BITS, head[row, FLAPS] & ((1 << FLAP_BITS) - 1)
            follows = last_end > 0 and seen[i] - last_end <= FLAPS_AT_ONCE * quiet_events
            head[row, FLAPS] = min(followed + 1, FLAPS_MOST) << FLAP_BITS if follows else 0
            head[row, OPENED_TIME], head[row, OPENED_OFFSET] = times[i], offsets[i]
            head[row, OPENED_PARTITION], head[row, CONFIG] = partitions[i], config
            levels[row, PEAK] = levels[row, REPORTED] = alert_evidence
            changed = OPENED
        elif is_anomalous:
            head[row, HITS] += 1
            head[row, QUIET] = 0
            levels[row, PEAK] = max(levels[row, PEAK], alert_evidence)
            is_new_kind = not head[row, STATUS] >> (KIND_BITS + kinds[i]) & 1
            if is_new_kind:
                head[row, STATUS] = (
                    (head[row, STATUS] >> KIND_BITS << KIND_BITS) | kinds[i] | 1 << (KIND_BITS + kinds[i])
                )
            if is_new_kind or alert_evidence >= levels[row, REPORTED] + TENFOLD:
                levels[row, REPORTED] = max(levels[row, REPORTED], alert_evidence)
                changed = UPDATED
        elif max(alert_evidence, evidence[i]) < evidence_needed - TENFOLD:
            head[row, QUIET] += 1
            if head[row, QUIET] >= quiet_events << (head[row, FLAPS] >> FLAP_BITS):
                changed = RESOLVED
        else:
            head[row, QUIET] = 0
        if changed:
            place[m], change[m], peak[m] = i, changed, levels[row, PEAK]
            incident[m] = head[row]
            m += 1
        if changed == RESOLVED:
            head[row, FLAPS] = (head[row, FLAPS] >> FLAP_BITS << FLAP_BITS) | seen[i]
            head[row, STATUS:] = 0
            levels[row, :] = 0.0
        elif quarantine and not head[row, RELEASED]:
            head[row, AGE] += 1
            if head[row, AGE] > quarantine or (quarantined[i] and _is_level(levels[row], deviations[i])):
                head[row, RELEASED] = 1
            else:
                head[row, HISTORY] |= 1
    return m


@njit(cache=True)
def _is_level(level, deviation):  # type: ignore[no-untyped-def]
    """Add the deviation of a quarantined event; returns whether the quarantined events now are a new level (see `LEVEL_EVENTS`)."""
    if math.isnan(deviation):
        return False
    n = level[QUARANTINED_N] = level[QUARANTINED_N] + 1.0
    from_mean = deviation - level[QUARANTINED_MEAN]
    level[QUARANTINED_MEAN] += from_mean / n
    level[QUARANTINED_SQUARES] += from_mean * (deviation - level[QUARANTINED_MEAN])
    if n > 1.0:
        level[QUARANTINED_CHANGES] += (deviation - level[QUARANTINED_LAST]) ** 2
    level[QUARANTINED_LAST] = deviation
    variance = level[QUARANTINED_SQUARES] / max(n - 1.0, 1.0)
    steady = (
        variance <= LEVEL_SPREAD**2 and level[QUARANTINED_SQUARES] <= LEVEL_TREND * level[QUARANTINED_CHANGES] / 2.0
    )
    return n >= LEVEL_EVENTS and steady
