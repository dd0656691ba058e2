"""Make small faults in the rooms that decide, and count which ones the tests of the room notice (`make mutants`).

mutmut makes the faults and chooses the tests that reach each. It changes no function with a decorator, so a copy of the room is made in
which kernels are plain functions: the rest of the copy stays compiled. A sample is the same each time, as long as a function is.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
import tomllib
import zlib
from contextlib import chdir
from dataclasses import dataclass, field
from os import environ
from pathlib import Path

from mutmut.configuration import reset_config
from mutmut.mutation.diff_apply import find_mutant, get_diff_for_mutant
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import get_mutant_name, orig_function_and_class_names_from_key
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

ROOT = Path(__file__).parents[2]
HOME = Path(environ.get("STREAMGAUGE_HOME", ROOT / ".streamgauge")) / "mutants"
LISTED = Path(__file__).with_name("survivors.toml")
LEAST = 0.85  # share of the faults that must be noticed
PACKAGES = {"jobs": "jobs", "udfs": "udfs", "models": "models", "conf": "flink-conf", "nab": "examples/nab"}
BESIDES = ("tests", "flink-conf", "examples", "docs")  # what tests read besides the packages
KERNEL = re.compile(r"^@(njit\(cache=True\)|kernel)\n", re.MULTILINE)
UNNOTICED = {"survived", "no tests"}
# What tells `zip` that lengths must be equal. Without it nothing changes, as long as they are: only a second fault would show.
STRICT = re.compile(r", *(strict=\w+)?\)")


@dataclass(frozen=True)
class Room:
    """A folder, and those of its tests that take too long where kernels are plain functions."""

    folder: str
    too_long: tuple[str, ...] = ()

    @property
    def tests(self) -> str:
        """The folder of its tests."""
        return f"tests/{self.folder}"


ROOMS = (
    Room(
        "models/calibration",
        (
            "test_calibration.py::test_one_false_alarm_in_ten_thousand_holds_within_a_factor_of_two_whatever_the_tail",
            "test_calibration.py::test_promises_hold_within_a_factor_of_two_on_unseen_normal_data",
            "test_calibration.py::test_a_burst_of_anomalies_does_not_become_usual_but_a_lasting_change_does",
            "test_pooled_tail.py::test_promises_hold_within_a_factor_of_two_whatever_the_scale_of_the_evidence",
        ),
    ),
    Room("models/persistence"),
    Room(
        "udfs/scoring",
        (
            "test_several_fields.py",
            "test_trained_models.py::test_whatever_older_aliases_are_put_back_the_job_uses_the_newest_that_it_has_seen",
        ),
    ),
    Room(
        "udfs/incidents",
        (
            "test_faults.py",
            "test_groups.py::test_groups_do_not_depend_on_batches_and_restarts",
            "test_promise.py::test_honest_evidence_opens_as_many_incidents_as_promised_from_the_first_day_on",
            "test_promise.py::test_the_promise_does_not_depend_on_batches_and_restarts",
            "test_lifecycle.py::test_the_alerts_of_an_incident_have_the_same_alert_id_and_different_event_ids",
        ),
    ),
)


@dataclass
class Result:
    """What became of the faults of a room.

    Attributes
    ----------
    tried : int
    survivors : dict of str to str
        Faults that no test noticed and no reason is listed for: what the changed lines became, by name.
    listed : int
        Faults that no test noticed, for the reason that is listed, or because only `STRICT` differs.
    stale : list of str
        Listed functions of which the fault is noticed.
    """

    tried: int = 0
    survivors: dict[str, str] = field(default_factory=dict)
    listed: int = 0
    stale: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Share of the faults that were noticed, of those that are not listed."""
        return 1.0 - len(self.survivors) / max(self.tried - self.listed, 1)


def main() -> int:
    """Try each room; 1 where too few faults are noticed, or the list of survivors names one that is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="*", help="such as udfs/scoring; all without one")
    parser.add_argument("--most", type=int, default=200, help="faults of a room that are tried; 0: all")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    console = Console()
    with LISTED.open("rb") as file:
        reasons = {(one["function"], one["becomes"]) for one in tomllib.load(file)["survivor"]}
    results = {}
    for room in ROOMS:
        if not asked.rooms or room.folder in asked.rooms:
            results[room.folder] = try_room(room, asked.most, asked.processes, console, reasons)
            tell(room.folder, results[room.folder], console)
    table = Table("room", "tried", "noticed", "listed with a reason", "not noticed", "share noticed")
    for folder, found in results.items():
        lost = len(found.survivors)
        numbers = (found.tried, found.tried - lost - found.listed, found.listed, lost)
        table.add_row(folder, *map(str, numbers), f"{found.share:.1%}")
    console.print(table)
    return int(any(found.share < LEAST or found.stale for found in results.values()))


def try_room(room: Room, most: int, processes: int, console: Console, reasons: set[tuple[str, str]]) -> Result:
    """Copy the tree, make the faults of one room in it, and run mutmut there."""
    place = HOME / room.folder.replace("/", "-")
    prepare(place, room)
    names = sample(place, room, most)
    path = f"{place / 'mutants/src'}:{Path(__file__).parent}:{environ.get('PYTHONPATH', '')}"
    called = {
        **environ,
        "PYTHONPATH": path,
        "NUMBA_CACHE_DIR": str(place / "numba"),
        "HYPOTHESIS_PROFILE": "mutants",
        "OMP_NUM_THREADS": "1",  # threads of torch are gone after the fork that tries a fault
    }
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(processes), *names]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (place / "log.txt").open("w") as log, Progress(*columns, console=console) as bar:
        task = bar.add_task(room.folder, total=len(names))
        with subprocess.Popen(command, cwd=place, env=called, stdout=log, stderr=log) as process:
            while process.poll() is None:
                time.sleep(1.0)
                bar.update(task, completed=sum(code is not None for code in read_codes(place).values()))
    codes = read_codes(place)
    statuses = {name: status_by_exit_code[codes.get(name)] for name in names}
    if process.returncode or "not checked" in statuses.values():
        raise SystemExit(f"mutmut ended early; {place / 'log.txt'} says why")
    result = Result(len(names))
    functions = {function for function, _ in reasons}
    for name, status in statuses.items():
        noticed, function = status not in UNNOTICED, function_of(name)
        if noticed and function not in functions:
            continue
        was, becomes = changed_lines(place, name)
        listed = (function, becomes) in reasons
        if noticed and listed:
            result.stale.append(f"{function}: {becomes}")
        elif noticed:
            continue
        elif listed or STRICT.sub(")", was) == STRICT.sub(")", becomes):
            result.listed += 1
        else:
            result.survivors[name] = becomes
    return result


def prepare(place: Path, room: Room) -> None:
    """Copy what tests need; kernels of the room become plain functions. Times of files are kept, so that compiled kernels stay usable."""
    for old in ("src", "mutants", *BESIDES):
        shutil.rmtree(place / old, ignore_errors=True)
    (place / "mutants/src").mkdir(parents=True)  # Python never looks again at a path that was missing at its start
    packages = place / "src/streamgauge"
    for package, folder in PACKAGES.items():
        shutil.copytree(ROOT / folder, packages / package, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in BESIDES:
        shutil.copytree(ROOT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (packages / room.folder).rglob("*.py"):
        file.write_text(KERNEL.sub("", file.read_text(encoding="utf-8")), encoding="utf-8")
    settings = {
        "source_paths": [f"src/streamgauge/{room.folder}"],
        "also_copy": ["src/streamgauge", *(folder for folder in BESIDES if folder != "tests")],
        "pytest_add_cli_args_test_selection": [room.tests],
        "pytest_add_cli_args": [
            "-pshortest_first",
            *(f"--deselect={room.tests}/{test}" for test in room.too_long),
        ],
        "do_not_mutate_patterns": ["raise \\w+"],
    }
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (place / "pyproject.toml").write_text(f"{text}\n[tool.mutmut]\n{lines}", encoding="utf-8")


def sample(place: Path, room: Room, most: int) -> list[str]:
    """Names of faults, `most` of them: which ones depends on the names alone."""
    names = []
    reset_config()
    with chdir(place):  # mutmut reads the settings of the folder that it is in
        for file in sorted(Path("src/streamgauge", room.folder).rglob("*.py")):
            made = mutate_file_contents(str(file), file.read_text(encoding="utf-8")).mutant_names
            names += [get_mutant_name(file, name) for name in made]
    names.sort(key=lambda name: zlib.crc32(name.encode()))
    return names[:most] if most else names


def read_codes(place: Path) -> dict[str, int | None]:
    """Exit codes of the tests by the name of the fault; a file that is being written has none yet."""
    codes: dict[str, int | None] = {}
    for file in (place / "mutants").rglob("*.py.meta"):
        try:
            codes |= json.loads(file.read_text(encoding="utf-8"))["exit_code_by_key"]
        except (ValueError, KeyError):
            continue
    return codes


def function_of(name: str) -> str:
    """The function that a fault is in, such as models.calibration.shares.wilson."""
    module, _, mangled = name.removeprefix("streamgauge.").rpartition(".")
    called, of_class = orig_function_and_class_names_from_key(mangled)
    return ".".join(part for part in (module, of_class, called) if part)


def changed_lines(place: Path, name: str) -> tuple[str, str]:
    """The lines that a fault changes: what they were, and what they became."""
    reset_config()
    with chdir(place):
        lines = get_diff_for_mutant(name, path=find_mutant(name).path).splitlines()
    were, became = ([line[1:].strip() for line in lines if line[:1] == sign and line[:3] != 3 * sign] for sign in "-+")
    return "\n".join(were), "\n".join(became)


def tell(folder: str, result: Result, console: Console) -> None:
    """Print what no test noticed, and what is listed for nothing."""
    for name, becomes in sorted(result.survivors.items()):
        console.print(f"not noticed: {function_of(name)} ({name.rpartition('_')[2]})", markup=False, highlight=False)
        console.print(f"    {becomes}", markup=False, highlight=False)
    for one in result.stale:
        console.print(f"listed in {LISTED.name}, but noticed: {one}", markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
