"""Known anomalies, made of a real event and scored on the side: what would be found is known without labels.

Nothing is learned from them, and no alert comes of them.
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

PLANTED = ("point", "contextual", "collective", "relative", "drift")  # what breaks a rule is found by the rule
# events of each, and how far off in the entity's deviations they are
EVENTS = {"point": 1, "contextual": 1, "collective": 64, "relative": 24, "drift": 600}
FAR = {"point": 5.0, "contextual": 0.0, "collective": 1.5, "relative": 0.0, "drift": 4.0}
MOST_FIELDS = 16  # that are looked through for one to plant an anomaly in
KNOWN_BY = 1.0  # deviations that the hour, or the peers, must explain of a value, for the opposite one to be an anomaly


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of a known anomaly.

    Attributes
    ----------
    kind, entity, field : str
    tier : {"rich", "light"}
        Of the entity.
    found, named : bool
        Whether it would have raised an incident, and one of its kind.
    members : dict of str to bool
        Of those that had an opinion: whether each found it.
    """

    kind: str
    entity: str
    field: str
    tier: str
    found: bool
    named: bool
    members: dict[str, bool]


class Rehearsal(Protocol):
    """Judges made-up events as the partition would, and learns nothing for good."""

    def learning_undone(self, rows: Ints, slots: Ints) -> AbstractContextManager[None]:
        """Whatever is learned within is forgotten at the end."""

    def judge_again(self, events: Events, X: Floats, rows: Ints) -> Judged:
        """What is made of events of known entities; within `learning_undone`."""


def probe(
    rehearsal: Rehearsal,
    store: EntityStore,
    settings: PipelineSettings,
    last: Events,
    x: Floats,
    columns: list[str],
    turn: int,
) -> Probe | None:
    """Make a known anomaly after the last event, of its entity, and see whether it would be found.

    Parameters
    ----------
    rehearsal : Rehearsal
    store : EntityStore
        As it is after the event.
    settings : PipelineSettings
    last : Events
        One event.
    x : float64[d]
    columns : list of str
        Field of each column.
    turn : int
        Decides which kind of anomaly it is, and in which field.

    Returns
    -------
    Probe or None
        None where there is nothing to make such an anomaly of: the entity is in its cold start, its fields are constant, or neither the
        hour nor the peers let expect a value.
    """
    kind, d, row = PLANTED[turn % len(PLANTED)], len(x), store.index[last.keys[0]]
    if store.head[row, SEEN] <= settings.decide.warmup:
        return None
    n, slot = EVENTS[kind], store.head[[row], SLOT] - 1
    rows = np.full(n, row)
    random, known = np.random.default_rng(turn), store.fields[row].copy()
    with rehearsal.learning_undone(rows[:1], slot):
        first = rehearsal.judge_again(_repeated(last, 1), x[None], rows[:1])
        usual = expected(0, d, first.scored.opinions)
        for field in (np.arange(min(d, MOST_FIELDS)) + turn // len(PLANTED)) % max(d, 1):
            values = _values(kind, x[field], usual[field], known[field], settings.featurize.warmup, random)
            if values is not None:
                break
        else:
            return None
        made = np.repeat(x[None], n, axis=0)
        made[:, field] = values
        column = columns[field]
        judged = rehearsal.judge_again(_repeated(last, n, {column: values}), made, rows)
    verdicts = judged.scored.verdicts
    found = verdicts.strongest >= -np.log(judged.thresholds)
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
    """Values of a field, one for each event; None where there is nothing to make them of."""
    deviation = deviation_of(cell[VARIANCE], cell[CENTRE])
    if math.isnan(value) or cell[VALUES] < warmup or deviation <= 0.0:
        return None
    n, way = EVENTS[kind], random.choice((-1.0, 1.0))
    if kind == "point":
        edge = cell[HIGHEST] if way > 0 else cell[LOWEST]
        return np.array([edge + way * FAR[kind] * deviation])
    if kind in ("contextual", "relative"):
        away = usual - cell[CENTRE]
        if math.isnan(away) or abs(away) < KNOWN_BY * deviation:
            return None
        base, shift, noise = cell[CENTRE] - math.copysign(min(abs(away), 2.0 * deviation), away), 0.0, 0.1
    else:
        base, shift, noise = value if math.isnan(usual) else usual, way * FAR[kind], 0.5
    ramp = np.linspace(0.0, 1.0, n) if kind == "drift" else np.ones(n)
    values: Floats = base + deviation * (shift * ramp + noise * random.standard_normal(n))
    return values


def _repeated(last: Events, n: int, changed: dict[str, Floats] | None = None) -> Events:
    """One event so often, with other values of some fields."""
    values = [last.values[0] | {name: float(numbers[i]) for name, numbers in (changed or {}).items()} for i in range(n)]
    units = None if last.units is None else last.units * n
    zeros: Ints = np.zeros(n, np.int64)
    return Events(zeros, values, last.entities * n, np.repeat(last.times, n), units)
