"""Whether false incidents stay within what is promised, on normal streams of every kind, by the age of the entities.

Each stream is one normal process (tests/generator), without any fault: every incident is false. A quarter of the entities begin later, so
that young entities also come to a stream that the job knows. Ages are day 1, days 2 to 7, and later. All at the default settings.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.judging import in_processes

from benchmarks.common import finish, say
from benchmarks.made_streams import incidents, step_for
from tests.generator.processes import DAY, PROCESSES
from tests.generator.streams import Recipe, make

AGES = {"day 1": (0, 1), "days 2 to 7": (1, 7), "later": (7, 10**6)}  # days of age, from and until
JOINING = 0.25


def promised(settings: Settings, events: int, days: float) -> float:
    """The number of false incidents that the settings allow. This is the only place that says what is promised.

    Parameters
    ----------
    settings : Settings
    events : int
    days : float
        Days of the whole stream that so many events take.
    """
    decide = settings.decide
    if decide.threshold is not None:
        return events * decide.threshold
    accepted = decide.false_incidents
    if accepted.each_entity:
        raise ValueError("a promise for each entity is not measured here: the days are those of the whole stream")
    return accepted.a_day * days


@dataclass
class Kept:
    """What was promised and what came, on one stream.

    Attributes
    ----------
    recipe : Recipe
    promised : dict of str to float
        False incidents, by age.
    achieved : dict of str to int
        Incidents that opened, by age.
    days : dict of str to float
        Days of the whole stream that the events of this age take.
    kinds : list of str
        Kind of each incident.
    """

    recipe: Recipe
    promised: dict[str, float]
    achieved: dict[str, int]
    days: dict[str, float]
    kinds: list[str]


def keep(recipe: Recipe) -> Kept:
    """Run one normal stream at the default settings."""
    settings, stream = Settings(), make(recipe)
    steps, entities = stream.places()
    ages = (steps - stream.begins[entities]) * recipe.step / DAY
    each_day = len(steps) / recipe.days
    opened = incidents(stream, settings)
    told = np.array([(one.step - stream.begins[one.entity]) * recipe.step / DAY for one in opened])
    kept = Kept(recipe, {}, {}, {}, [one.kind for one in opened])
    for name, (since, until) in AGES.items():
        events = int(((ages >= since) & (ages < until)).sum())
        kept.days[name] = events / each_day
        kept.promised[name] = promised(settings, events, kept.days[name])
        kept.achieved[name] = int(((told >= since) & (told < until)).sum())
    return kept


def summed(results: Iterable[Kept]) -> dict[str, dict[str, float]]:
    """By age: days, incidents promised and achieved in all, and their ratio; ages that no entity reached are left out."""
    results, ages = list(results), {}
    for name in AGES:
        allowed = sum(one.promised[name] for one in results)
        came = sum(one.achieved[name] for one in results)
        days = sum(one.days[name] for one in results)
        if days:
            ages[name] = {
                "days": round(days, 2),
                "promised_a_day": round(allowed / days, 4),
                "achieved_a_day": round(came / days, 4),
                "ratio": round(came / allowed, 3) if allowed else None,
            }
    return ages


def recipes(chosen: argparse.Namespace) -> list[Recipe]:
    """All streams of the study, the longest first."""
    made = [
        Recipe(process, None, entities, seed, chosen.days, step_for(entities), joining=JOINING)
        for entities in chosen.entities
        for process in chosen.processes
        for seed in range(chosen.seeds)
    ]
    return sorted(made, key=lambda recipe: -recipe.entities * recipe.steps)


def arguments(parser: argparse.ArgumentParser, days: float) -> argparse.ArgumentParser:
    """Add the options that this study and that of faults share."""
    parser.add_argument("--entities", type=int, nargs="+", default=[1, 20], help="entities of a stream (default: 1 20)")
    parser.add_argument("--days", type=float, default=days, help=f"length of a stream (default: {days:g})")
    parser.add_argument("--seeds", type=int, default=3, help="streams of each kind (default: 3)")
    parser.add_argument("--processes", nargs="+", choices=list(PROCESSES), default=list(PROCESSES), metavar="PROCESS")
    parser.add_argument("--cores", type=int, default=None, help="processes to run in (default: all cores)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, with the settings")
    return parser


def line(name: str, ages: dict[str, dict[str, float]]) -> str:
    """A row of the table."""
    cells = [
        f"{one['achieved_a_day']:9.3f} {one['promised_a_day']:9.3f} {one['ratio'] if one['ratio'] is not None else 0:7.2f}"
        for one in ages.values()
    ]
    return f"{name:24}" + " |".join(cells)


def main() -> None:
    """Run the study, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.promise", description=__doc__.splitlines()[0])
    chosen = arguments(parser, 10).parse_args()
    results: list[Kept] = []
    for kept in in_processes(keep, recipes(chosen), chosen.cores):
        results.append(kept)
        what = kept.recipe
        say(f"{what.process}, {what.entities} entities, seed {what.seed}: {kept.achieved} of {kept.promised}")
    figures: dict[str, Any] = {}
    for entities in chosen.entities:
        rows = {
            p: [r for r in results if (r.recipe.process, r.recipe.entities) == (p, entities)] for p in chosen.processes
        }
        figures[str(entities)] = {p: summed(of) for p, of in rows.items()}
        figures[str(entities)]["all"] = summed(one for of in rows.values() for one in of)
    if chosen.json:
        finish({"entities": figures}, Settings())
        return
    for entities, table in figures.items():
        print(
            f"\n{entities} entities: false incidents a day, promised, ratio\n{'':24}"
            + " |".join(f"{a:^27}" for a in table["all"])
        )
        for name, ages in table.items():
            print(line(name, ages))
    print(json.dumps({"worst_ratio": worst(figures)}))


def worst(figures: dict[str, Any]) -> dict[str, float]:
    """By age: the largest ratio of all processes and numbers of entities."""
    found: dict[str, float] = {}
    for table in figures.values():
        for ages in table.values():
            for name, one in ages.items():
                found[name] = max(found.get(name, 0.0), one["ratio"] or 0.0)
    return found


if __name__ == "__main__":
    main()
