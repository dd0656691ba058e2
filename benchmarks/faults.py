"""Which planted faults are found, and named rightly: every normal process x every fault that it can have (tests/generator).

A fault is found if an incident of its entity opens at one of its events, or at the next one. It is named rightly if one of these incidents
has a kind that fits. Other incidents are false, except those of a changed entity after its fault began: it must learn anew. Three quarters
of the entities have no fault. All at the default settings.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.judging import in_processes

from benchmarks.common import finish, say
from benchmarks.made_streams import incidents, step_for
from benchmarks.promise import arguments, promised
from tests.generator.faults import FAULTS
from tests.generator.streams import Recipe, make

GRACE = 1  # events after the last of a fault, in which an incident may still open


@dataclass
class Found:
    """What came of the faults of one stream.

    Attributes
    ----------
    recipe : Recipe
    planted, found, named : int
        Ranges in which a fault must be told; where an incident opened; where one of them has a kind that fits.
    false : int
        Incidents of entities without a fault, or before their fault.
    promised : float
        False incidents that the settings allow.
    kinds : Counter
        Kinds of the incidents that found something.
    """

    recipe: Recipe
    planted: int = 0
    found: int = 0
    named: int = 0
    false: int = 0
    promised: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)


def look(recipe: Recipe) -> Found:
    """Run one stream at the default settings."""
    settings, stream = Settings(), make(recipe)
    opened = incidents(stream, settings)
    found = Found(recipe, planted=len(stream.planted))
    begins: dict[int, int] = {}
    for p in stream.planted:
        begins[p.entity] = min(p.first, begins.get(p.entity, p.first))
        kinds = [one.kind for one in opened if one.entity == p.entity and p.first <= one.step <= p.last + GRACE]
        found.found += bool(kinds)
        found.named += any(kind in p.kinds for kind in kinds)
        found.kinds.update(kinds[:1])
    found.false = sum(one.step < begins.get(one.entity, recipe.steps) for one in opened)
    events = len(stream.places()[0])
    found.promised = promised(settings, events, recipe.days)
    return found


def summed(results: Iterable[Found]) -> dict[str, Any]:
    """Figures of several streams."""
    results = list(results)
    planted, found = sum(r.planted for r in results), sum(r.found for r in results)
    return {
        "planted": planted,
        "recall": round(found / planted, 4) if planted else None,
        "named_right": round(sum(r.named for r in results) / found, 4) if found else None,
        "kinds": dict(sum((r.kinds for r in results), Counter()).most_common()),
        "false": sum(r.false for r in results),
        "promised": round(sum(r.promised for r in results), 2),
    }


def recipes(chosen: argparse.Namespace) -> list[Recipe]:
    """All streams of the study, the longest first."""
    made = [
        Recipe(process, fault, entities, seed, chosen.days, step_for(entities), chosen.sigmas)
        for entities in chosen.entities
        for fault in chosen.faults
        for process in chosen.processes
        if process in FAULTS[fault].on
        for seed in range(chosen.seeds)
    ]
    return sorted(made, key=lambda recipe: -recipe.entities * recipe.steps)


def main() -> None:
    """Run the study, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__.splitlines()[0])
    arguments(parser, 7)
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS), metavar="FAULT")
    parser.add_argument("--sigmas", type=float, default=6.0, help="size of the faults (default: 6)")
    chosen = parser.parse_args()
    results: list[Found] = []
    streams = recipes(chosen)
    for found in in_processes(look, streams, chosen.cores):
        results.append(found)
        if len(results) % 50 == 0:
            say(f"{len(results)} of {len(streams)} streams")
    figures: dict[str, Any] = {}
    for entities in chosen.entities:
        mine = [r for r in results if r.recipe.entities == entities]
        pairs = {
            f: {
                p: summed(r for r in mine if (r.recipe.fault, r.recipe.process) == (f, p))
                for p in chosen.processes
                if p in FAULTS[f].on
            }
            for f in chosen.faults
        }
        figures[str(entities)] = {
            "all": summed(mine),
            "by_fault": {f: summed(r for r in mine if r.recipe.fault == f) for f in chosen.faults},
            "by_process": {p: summed(r for r in mine if r.recipe.process == p) for p in chosen.processes},
            "pairs": pairs,
        }
    if chosen.json:
        finish({"sigmas": chosen.sigmas, "entities": figures}, Settings())
        return
    for entities, found_by in figures.items():
        print(f"\n{entities} entities: recall of each fault (rows) on each normal process (columns), * nothing planted")
        print(f"{'':21}" + " ".join(f"{p[:8]:>8}" for p in chosen.processes) + "      all   named  kinds")
        for fault, by_process in found_by["pairs"].items():
            cells = [cell(by_process.get(p)) for p in chosen.processes]
            row = found_by["by_fault"][fault]
            print(
                f"{fault:21}"
                + " ".join(cells)
                + f" {number(row['recall'])} {number(row['named_right'])}  {row['kinds']}"
            )
    print(json.dumps({entities: one["all"] for entities, one in figures.items()}))


def cell(figures: dict[str, Any] | None) -> str:
    """Recall as it is shown in the table; a dot where the process cannot have the fault."""
    return f"{'.':>8}" if figures is None else number(figures["recall"])


def number(value: float | None) -> str:
    """A share with two digits."""
    return f"{'*':>8}" if value is None else f"{value:8.2f}"


if __name__ == "__main__":
    main()
