"""Probes: known anomalies, made from a real event and scored on the side. They show, without labels, what would be found.

Nothing is learned from probes, and they raise no alerts.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.deviation import deviation_of
from streamgauge.udfs.entities.columns import CENTRE, HIGHEST, LOWEST, SEEN, SLOT, VALUES, VARIANCE
from streamgauge.udfs.entities.entity_store import EntityStore
from streamgauge.udfs.events.records import Events
from streamgauge.udfs.incidents.judge import Judged
from streamgauge.udfs.incidents.kinds import CONDITIONAL, KINDS
from streamgauge.udfs.scoring.attribution import expected
from streamgauge.udfs.scoring.calibrate import AGREES
from streamgauge.udfs.settings.pipeline import PipelineSettings

# Kinds of probes. There are no conditional ones, since a rule always finds what breaks it.
PROBE_KINDS = ("point", "contextual", "collective", "relative", "drift")
EVENTS = {"point": 1, "contextual": 1, "collective": 64, "relative": 24, "drift": 600}  # events of a probe of each kind
FAR = {
    "point": 5.0,
    "contextual": 0.0,
    "collective": 1.5,
    "relative": 0.0,
    "drift": 4.0,
}  # their shift, in deviations of the entity
MOST_FIELDS = 16  # fields that are tried until a probe can be made in one
# Deviations by which the expected value must differ from the centre of the entity, so that a value on the other side of the centre is a
# contextual or relative anomaly.
KNOWN_BY = 1.0


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of a probe.

    Attributes
    ----------
    kind, entity, field : str
        The kind of the anomaly, its entity, and the field that was changed.
    tier : {"rich", "light"}
        Tier of the entity.
    found : bool
        Whether the probe was at or beyond the threshold.
    named : bool
        Whether it was found as an anomaly of its kind.
    members : dict of str to bool
        By member that had an opinion: whether it found the probe.
    """

    kind: str
    entity: str
    field: str
    tier: str
    found: bool
    named: bool
    members: dict[str, bool]


class Rehearsal(Protocol):
    """Judges artificial events as the partition would judge real ones, and then undoes what was learned from them."""

    def learning_undone(self, rows: Ints, slots: Ints) -> AbstractContextManager[None]:
        """Undo at the end all that was learned within, by the cohort and by the entities at these rows and slots."""

    def judge_again(self, events: Events, X: Floats, rows: Ints) -> Judged:
        """Judge events of known entities. To be called within `learning_undone` only."""


def probe(
    rehearsal: Rehearsal,
    store: EntityStore,
    settings: PipelineSettings,
    last: Events,
    x: Floats,
    columns: list[str],
    turn: int,
) -> Probe | None:
    """Make an anomaly that follows the last event of an entity, and see whether it would be found.

    Parameters
    ----------
    rehearsal : Rehearsal
    store : EntityStore
        The state after the last event.
    settings : PipelineSettings
    last : Events
        The last event, alone.
    x : float64[d]
        Its values; NaN is missing.
    columns : list of str
        Field of each column.
    turn : int
        Number of the probe. It decides the kind and the field, so that a replay makes the same probes.

    Returns
    -------
    Probe or None
        None if such an anomaly cannot be made: the entity is in its cold start, its fields are constant, or the value that is expected at
        this hour, or among these peers, is the usual one.
    """
    kind, d, row = PROBE_KINDS[turn % len(PROBE_KINDS)], len(x), store.index[last.keys[0]]
    if store.head[row, SEEN] <= settings.decide.warmup:
        return None
    n, slot = EVENTS[kind], store.head[[row], SLOT] - 1
    rows = np.full(n, row)
    random, cells = np.random.default_rng(turn), store.fields[row].copy()
    with rehearsal.learning_undone(rows[:1], slot):
        first = rehearsal.judge_again(_repeated(last, 1), x[None], rows[:1])
        usual = expected(0, d, first.scored.opinions)
        for field in (np.arange(min(d, MOST_FIELDS)) + turn // len(PROBE_KINDS)) % max(d, 1):
            values = _values(kind, x[field], usual[field], cells[field], settings.featurize.warmup, random)
            if values is not None:
                break
        else:
            return None
        probe_values = np.repeat(x[None], n, axis=0)
        probe_values[:, field] = values
        column = columns[field]
        judged = rehearsal.judge_again(_repeated(last, n, {column: values}), probe_values, rows)
    verdicts = judged.scored.verdicts
    found = verdicts.strongest >= judged.evidence_needed
    members = {
        name: bool((np.nan_to_num(verdicts.members[:, k]) >= AGREES).any())
        for k, name in enumerate(judged.scored.opinions.names)
        if not np.isnan(verdicts.members[:, k]).all()
    }
    kinds = {KINDS[int(code)] for code in judged.kinds[found] if code != CONDITIONAL}
    tier = "rich" if store.head[row, SLOT] else "light"
    return Probe(kind, last.entities[0], column, tier, bool(found.any()), kind in kinds, members)


def _values(
    kind: str, value: float, usual: float, cell: Floats, warmup: int, random: np.random.Generator
) -> Floats | None:
    """The values that a probe gives a field, float64[events of the probe]; None if a probe of this kind cannot be made in this field.

    Parameters
    ----------
    kind : str
    value : float
        The last value of the field.
    usual : float
        The expected value; NaN is unknown.
    cell : float64[numbers of the field]
        What is known of the field (`entities.columns`).
    warmup : int
        Values that must be known of the field.
    random : numpy.random.Generator
    """
    deviation = deviation_of(cell[VARIANCE], cell[CENTRE])
    if math.isnan(value) or cell[VALUES] < warmup or deviation <= 0.0:
        return None
    n, direction = EVENTS[kind], random.choice((-1.0, 1.0))
    if kind == "point":
        edge = cell[HIGHEST] if direction > 0 else cell[LOWEST]
        return np.array([edge + direction * FAR[kind] * deviation])
    if kind in ("contextual", "relative"):
        from_centre = usual - cell[CENTRE]
        if math.isnan(from_centre) or abs(from_centre) < KNOWN_BY * deviation:
            return None
        # On the other side of the centre: such a value is usual, but not at this hour, or not with these peers.
        base = cell[CENTRE] - math.copysign(min(abs(from_centre), 2.0 * deviation), from_centre)
        shift, noise = 0.0, 0.1
    else:
        base, shift, noise = value if math.isnan(usual) else usual, direction * FAR[kind], 0.5
    ramp = np.linspace(0.0, 1.0, n) if kind == "drift" else np.ones(n)
    values: Floats = base + deviation * (shift * ramp + noise * random.standard_normal(n))
    return values


def _repeated(last: Events, n: int, changed: dict[str, Floats] | None = None) -> Events:
    """One event, `n` times, with other values of some fields (float64[n] by field)."""
    values = [last.values[0] | {name: float(numbers[i]) for name, numbers in (changed or {}).items()} for i in range(n)]
    units = None if last.units is None else last.units * n
    zeros: Ints = np.zeros(n, np.int64)
    return Events(zeros, values, last.entities * n, np.repeat(last.times, n), np.repeat(last.places, n), units)
