"""Known anomalies, made of a real event and scored on the side: what would be found is known without labels.

Nothing is learned from them, and no alert comes of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.deviation import deviation_of
from streamgauge.udfs.entities.entity_store import SEEN, SLOT
from streamgauge.udfs.events.records import Events
from streamgauge.udfs.incidents.lifecycle import CONDITIONAL, KINDS
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.scoring.attribution import expected
from streamgauge.udfs.scoring.calibrate import AGREES
from streamgauge.udfs.scoring.normalise import CENTRE, HIGHEST, LOWEST, VALUES, VARIANCE

if TYPE_CHECKING:
    from streamgauge.udfs.pipeline.partition import LogPipeline

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


def probe(log: LogPipeline, events: Events, X: Floats, turn: int) -> Probe | None:
    """Plant an anomaly after the last of some events, of its entity.

    Parameters
    ----------
    log : LogPipeline
        As it is after the events.
    events : Events
    X : float64[n, d]
    turn : int
        Decides which kind is planted, and in which field.

    Returns
    -------
    Probe or None
        None where there is nothing to make such an anomaly of: the entity is new, its fields are constant, or neither the hour nor the
        peers let expect a value.
    """
    kind, d, row = PLANTED[turn % len(PLANTED)], X.shape[1], log.store.index[events.keys[-1]]
    if log.store.head[row, SEEN] <= log.settings.decide.warmup:
        return None
    n, slot = EVENTS[kind], log.store.head[[row], SLOT] - 1
    rows = np.full(n, row)
    random, known = np.random.default_rng(turn), log.store.fields[row].copy()
    with log.learning_undone(rows[:1], slot):
        told = log.judge_again(_repeated(events, 1), X[-1:], rows[:1], BatchResult())
        usual = expected(0, d, told.opinions)
        for field in (np.arange(min(d, MOST_FIELDS)) + turn // len(PLANTED)) % max(d, 1):
            values = _values(kind, X[-1, field], usual[field], known[field], log.settings.featurize.warmup, random)
            if values is not None:
                break
        else:
            return None
        made = np.repeat(X[-1:], n, axis=0)
        made[:, field] = values
        column = log.alignment.schema.numeric[field]
        judged = log.judge_again(_repeated(events, n, {column: values}), made, rows, BatchResult())
    found = judged.verdicts.total >= -np.log(judged.thresholds)
    surprises = judged.verdicts.surprises
    members = {
        name: bool((np.nan_to_num(surprises[:, k]) >= AGREES).any())
        for k, name in enumerate(judged.opinions.names)
        if not np.isnan(surprises[:, k]).all()
    }
    kinds = {KINDS[int(code)] for code in judged.kinds[found] if code != CONDITIONAL}
    tier = "rich" if log.store.head[row, SLOT] else "light"
    return Probe(kind, events.entities[-1], column, tier, bool(found.any()), kind in kinds, members)


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


def _repeated(events: Events, n: int, changed: dict[str, Floats] | None = None) -> Events:
    """The last event so often, with other values of some fields."""
    last = events.slice(len(events) - 1, len(events))
    values = [last.values[0] | {name: float(numbers[i]) for name, numbers in (changed or {}).items()} for i in range(n)]
    units = None if last.units is None else last.units * n
    zeros: Ints = np.zeros(n, np.int64)
    return Events(zeros, values, last.entities * n, np.repeat(last.times, n), units)
