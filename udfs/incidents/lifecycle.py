"""Evidence to incidents: many anomalous events of an entity become one incident, which opens, changes and ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.kernel import kernel
from streamgauge.udfs.entities.columns import (
    AGE,
    BEGAN,
    BLAMED,
    CHANNEL,
    CONFIG,
    FLAPS,
    HISTORY,
    HITS,
    LARGEST_EFFECT,
    ODD_FROM,
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
    SEVEREST,
    SIDE,
    STATUS,
)
from streamgauge.udfs.entities.entity_store import EntityStore
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.events.records import with_place
from streamgauge.udfs.incidents.effects import TENFOLD, Effects
from streamgauge.udfs.incidents.kinds import CONDITIONAL, KIND_BITS, OPENED, RESOLVED, UPDATED
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
# An anomalous event of an open incident is another fault: see `_is_another`. Not within the first `SAME_FAULT` events; at once if its size
# is `FACTOR` times the largest so far; else after at least `APART` quiet events.
SAME_FAULT, FACTOR, APART = 5, 3.0, 3
RETURNS_WITHIN = 8  # events after an anomalous one within which a usual level is the return to normal
MOST_RECENT = 60  # last events of an entity of which is known whether they were anomalous
LASTS = 30  # anomalous events from which on an incident is a step more severe


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the lifecycle of incidents needs of each event of a stretch.

    Attributes
    ----------
    alertable : float64[n]
        Alert evidence.
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
    effects : Effects
    channels : int64[n]
        Place of the member that found each event, plus 1; 0 is none.
    severities, most_severe : int64[n]
        Severity of each event, and the highest that it may have if its incident lasts; places in `SEVERITIES`.
    """

    alertable: Floats
    evidence: Floats
    violated: Flags
    suppressed: Flags
    kinds: Ints
    evidence_needed: Floats
    deviations: Floats
    effects: Effects
    channels: Ints
    severities: Ints
    most_severe: Ints


@dataclass(slots=True)
class Decisions:
    """The changes of incidents, in the order of the events.

    Attributes
    ----------
    place : int64[m]
        Place of the event that changed the incident.
    change : int64[m]
        OPENED, UPDATED, RESOLVED or RETRACTED.
    incident : int64[m, 25]
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
    - It has the kind, the member and the field of that event.
    - It is updated by an event that is ten times rarer than the one reported last, by the first event of another kind, and when it becomes
      more severe, which it does after `LASTS` anomalous events.
    - The return to normal is no anomaly: while the incident is open, and in the events after an anomalous or odd one, a usual value is
      quiet, however large the change to it is.
    - It is ended by another fault, which opens an incident of its own: an event that is three times as far from its expected value as all
      before and ten times rarer, or one on the other side of the expected value; after a few quiet events also one of another kind,
      or of another field that is clearly away from its expected value.
    - It ends after `quiet_events` events in a row that are each ten times more usual than the threshold. If it opened soon after the last
      incident, it needs twice as many quiet events, the next one four times as many, and so on. So an entity that often changes between
      usual and anomalous has one long incident, not many short ones.

    After its first 16 events, the events of an incident are quarantined (scored, but not learned). This ends when they turn out to be a new
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
        # Two rows for each event are enough: it ends at most one incident, and opens at most one.
        place, change = np.empty(2 * n, np.int64), np.empty(2 * n, np.int64)
        incident, peak = np.empty((2 * n, store.head.shape[1]), np.int64), np.empty(2 * n)
        effects = candidates.effects
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
            with_place(stretch.offsets, stretch.events.places),
            stretch.partitions,
            candidates.evidence_needed,
            candidates.evidence,
            effects.fields,
            effects.sides,
            effects.sizes,
            effects.usual_level,
            effects.odd,
            candidates.channels,
            candidates.severities,
            candidates.most_severe,
            settings.quiet_events,
            settings.warmup,
            settings.hits,
            settings.within,
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
    fields,
    sides,
    sizes,
    usual_level,
    odd,
    channels,
    severities,
    most_severe,
    quiet_events,
    warmup,
    hits,
    within,
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
        is_open = head[row, STATUS] != 0
        lately = (head[row, RECENT] | head[row, HISTORY] >> ODD_FROM) & ((1 << RETURNS_WITHIN) - 1)
        is_same_field = is_open and fields[i] == head[row, BLAMED]
        is_return = is_anomalous and usual_level[i] and not violated[i] and (is_same_field or lately != 0)
        is_anomalous = is_anomalous and not is_return  # the fault is over; only that it ended is unusual
        anomalous[i] = is_anomalous
        head[row, RECENT] = ((head[row, RECENT] << 1) | is_anomalous) & ((1 << MOST_RECENT) - 1)
        odd_lately = (head[row, HISTORY] >> ODD_FROM << 1 | odd[i] | is_return) & ((1 << RETURNS_WITHIN) - 1)
        head[row, HISTORY] = head[row, HISTORY] << 1 & (1 << QUARANTINED_AFTER + 1) - 1 | odd_lately << ODD_FROM
        if not is_open and not is_anomalous:
            continue
        if (
            is_open
            and is_anomalous
            and _is_another(head[row], levels[row], seen[i], alert_evidence, kinds[i], fields[i], sides[i], sizes[i])
        ):
            place[m], change[m], peak[m] = i, RESOLVED, levels[row, PEAK]
            incident[m] = head[row]
            m += 1
            head[row, STATUS:] = 0
            levels[row, :] = 0.0
        if head[row, STATUS] == 0:
            recent = head[row, RECENT] & ((1 << within) - 1)
            if not is_open and not violated[i] and _bits(recent) < hits:
                continue
            head[row, FLAPS] = _flaps(head[row, FLAPS], seen[i], quiet_events, is_open)
            head[row, STATUS] = kinds[i] | 1 << (KIND_BITS + kinds[i])
            head[row, HITS] = 1
            head[row, OPENED_TIME], head[row, OPENED_OFFSET] = times[i], offsets[i]
            head[row, OPENED_PARTITION], head[row, CONFIG] = partitions[i], config
            head[row, SEVEREST], head[row, CHANNEL] = severities[i], channels[i]
            head[row, BLAMED], head[row, SIDE], head[row, BEGAN] = fields[i], sides[i], seen[i]
            levels[row, PEAK] = levels[row, REPORTED] = alert_evidence
            levels[row, LARGEST_EFFECT] = _larger(0.0, sizes[i])
            changed = OPENED
        elif is_anomalous:
            if fields[i] == head[row, BLAMED] and sides[i] * head[row, SIDE] < 0:
                head[row, SIDE] = 0
            levels[row, LARGEST_EFFECT] = _larger(levels[row, LARGEST_EFFECT], sizes[i])
            if _is_worth_an_update(head[row], levels[row], alert_evidence, kinds[i], severities[i], most_severe[i]):
                changed = UPDATED
        elif is_return or max(alert_evidence, evidence[i]) < evidence_needed - TENFOLD:
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


@kernel
def _flaps(flaps, seen, quiet_events, is_open):  # type: ignore[no-untyped-def]
    """The column `FLAPS` of an incident that opens at an entity's event `seen`."""
    if is_open:  # the incident follows an open one: it is another fault, and none that comes and goes
        return flaps
    followed, last_end = flaps >> FLAP_BITS, flaps & ((1 << FLAP_BITS) - 1)
    if last_end == 0 or seen - last_end > FLAPS_AT_ONCE * quiet_events:
        return 0
    return min(followed + 1, FLAPS_MOST) << FLAP_BITS


@kernel
def _bits(number):  # type: ignore[no-untyped-def]
    """How many bits of a number are set."""
    found = 0
    while number:
        found += number & 1
        number >>= 1
    return found


@kernel
def _larger(known, size):  # type: ignore[no-untyped-def]
    """The larger of two numbers, of which the second one may be NaN."""
    return known if math.isnan(size) else max(known, size)


@kernel
def _is_worth_an_update(incident, level, evidence, kind, severity, most_severe):  # type: ignore[no-untyped-def]
    """Add an anomalous event to its incident; returns whether it changes the incident enough for an update."""
    incident[HITS] += 1
    incident[QUIET] = 0
    level[PEAK] = max(level[PEAK], evidence)
    if incident[HITS] == LASTS and incident[STATUS] & ((1 << KIND_BITS) - 1) != CONDITIONAL:
        severity = max(severity, min(incident[SEVEREST] + 1, most_severe))
    is_new_kind = not incident[STATUS] >> (KIND_BITS + kind) & 1
    if not is_new_kind and severity <= incident[SEVEREST] and evidence < level[REPORTED] + TENFOLD:
        return False
    incident[STATUS] |= 1 << (KIND_BITS + kind)
    incident[SEVEREST] = max(incident[SEVEREST], severity)
    level[REPORTED] = max(level[REPORTED], evidence)
    return True


@kernel
def _is_another(incident, level, seen, evidence, kind, field, side, size):  # type: ignore[no-untyped-def]
    """Whether an anomalous event is another fault than that of the open incident (see `Lifecycle`)."""
    if incident[BEGAN] == 0 or seen - incident[BEGAN] <= SAME_FAULT:
        return False
    if size >= FACTOR * level[LARGEST_EFFECT] > 0.0 and evidence >= level[PEAK] + TENFOLD:
        return True
    is_opposite = field == incident[BLAMED] and side * incident[SIDE] < 0
    if is_opposite and incident[HITS] > SAME_FAULT:
        return True
    is_other_kind = not incident[STATUS] >> (KIND_BITS + kind) & 1
    is_other_field = side != 0 and incident[BLAMED] != 0 and field != incident[BLAMED]
    return incident[QUIET] >= APART and (is_opposite or is_other_kind or is_other_field)


@kernel
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
