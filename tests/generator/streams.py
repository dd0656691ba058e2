"""A stream of a normal process, with a fault planted in some of its entities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from streamgauge.jobs.files.read_files import Rows
from streamgauge.models.contract import Floats, Ints

from tests.generator.faults import FAULTS, RELATION_NOISE, Entity
from tests.generator.processes import DAY, PROCESSES

START = 1_767_571_200_000  # 2026-01-05, a Monday
LEARNED = 0.5  # no fault comes in the first half
CHUNK = 20_000  # events


@dataclass(frozen=True)
class Recipe:
    """What a stream is made of.

    Attributes
    ----------
    process : str
        One of `PROCESSES`.
    fault : str, optional
        One of `FAULTS`; None leaves the stream normal.
    entities : int
    seed : int
        The same recipe gives the same stream.
    days : float
    step : int
        Milliseconds from one event of an entity to the next.
    sigmas : float
        Size of the fault.
    joining : float
        Share of the entities that begin later, within the first half of the stream. Entities with a fault are there from the start.
    """

    process: str
    fault: str | None = None
    entities: int = 1
    seed: int = 0
    days: float = 7.0
    step: int = 300_000
    sigmas: float = 6.0
    joining: float = 0.0

    @property
    def steps(self) -> int:
        """Events of an entity that is there from the start."""
        return int(self.days * DAY / self.step)


@dataclass(frozen=True)
class Planted:
    """Events of one entity in which a fault must be told.

    Attributes
    ----------
    entity : int
    first, last : int
        Steps.
    kinds : tuple of str
        Kinds of anomaly that name it rightly.
    """

    entity: int
    first: int
    last: int
    kinds: tuple[str, ...]


@dataclass
class Stream:
    """A stream, and what was planted in it.

    Attributes
    ----------
    times : int64[steps]
        Milliseconds; all entities send at the same times.
    fields : dict of str to float64[steps, entities]
        NaN where the entity sends nothing.
    begins : int64[entities]
        Step of the first event of each entity.
    planted : list of Planted
    deviations : float64[steps, entities]
        Values in usual variations, faults included.
    """

    times: Ints
    fields: dict[str, Floats]
    begins: Ints
    planted: list[Planted] = field(default_factory=list)
    deviations: Floats = field(default_factory=lambda: np.empty((0, 0)))

    @property
    def names(self) -> list[str]:
        """Names of the entities."""
        return [f"e{k}" for k in range(len(self.begins))]

    def places(self) -> tuple[Ints, Ints]:
        """Step and entity of each event, in the order of the stream."""
        steps, entities = np.nonzero(np.arange(len(self.times))[:, None] >= self.begins)
        return steps, entities

    def rows(self) -> Iterator[Rows]:
        """The stream in order, as rows of a file would be read."""
        steps, entities = self.places()
        names = np.array(self.names, object)
        for begin in range(0, len(steps), CHUNK):
            s, e = steps[begin : begin + CHUNK], entities[begin : begin + CHUNK]
            fields = {name: pa.array(values[s, e], from_pandas=True) for name, values in self.fields.items()}
            yield Rows(names[e].tolist(), self.times[s], None, fields)


def make(recipe: Recipe) -> Stream:
    """The stream of a recipe. A fault that has no place in the stream is not planted."""
    random = np.random.default_rng([recipe.seed, recipe.entities, *recipe.process.encode()])
    process = PROCESSES[recipe.process]
    times = START + recipe.step * np.arange(recipe.steps)
    normal = process.make(random, times, recipe.entities)
    centres = np.zeros(recipe.entities) if process.whole else random.lognormal(4, 0.5, recipe.entities)
    scales = np.ones(recipe.entities) if process.whole else centres * random.uniform(0.02, 0.1, recipe.entities)
    begins = np.zeros(recipe.entities, np.int64)
    joining = int(recipe.joining * recipe.entities)
    if joining:
        begins[-joining:] = random.integers(1, recipe.steps // 2, joining)
    values, planted, bad = normal.deviations, [], []
    noise = RELATION_NOISE * random.standard_normal(values.shape) if recipe.fault == "broken_relation" else None
    other = None if noise is None else 2 * values + noise
    if recipe.fault is not None:
        fault = FAULTS[recipe.fault]
        random = np.random.default_rng([recipe.seed, recipe.entities, *recipe.fault.encode()])
        for k in range(faulty(recipe.entities)):
            mine = Entity(values[:, k].copy(), normal.expected[:, k], times, process, recipe.sigmas, normal.sigma)
            mine.other = np.empty(0) if other is None else other[:, k].copy()
            row = int(random.integers(int(LEARNED * recipe.steps), int((1 + LEARNED) / 2 * recipe.steps)))
            ranges = (
                fault.plant(random, mine, row) if row + MOST < recipe.steps or recipe.fault not in LASTING else None
            )
            if not ranges or ranges[-1][1] >= recipe.steps:
                continue
            values[:, k] = mine.deviations
            if other is not None:
                other[:, k] = mine.other
            bad += [(at, k, value) for at, value in mine.bad.items()]
            planted += [Planted(k, first, last, fault.kinds) for first, last in ranges]
    fields = {"value": centres + scales * values}
    if other is not None:
        fields = {"a": fields["value"], "b": 2 * centres + scales * other}
    for at, k, value in bad:
        fields["value"][at, k] = value
    absent = np.arange(recipe.steps)[:, None] < begins
    for one in fields.values():
        one[absent] = np.nan
    return Stream(times, fields, begins, planted, values)


MOST = 110  # events that the longest fault of `LASTING` needs
LASTING = ("stuck", "variance_burst", "smaller_after_larger", "bad_value", "broken_relation")


def faulty(entities: int) -> int:
    """Number of entities with a fault: a quarter, at least one, at most 50. The others show what is told without a fault."""
    return min(50, max(1, entities // 4))
