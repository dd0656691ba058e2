"""Print what a wheel needs, one requirement a line, for `pip install -r`.

Images that do not start Flink leave apache-flink out: it brings 350 MB of jars, and Apache Beam.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def requirements(wheel: Path, extras: list[str], without: list[str]) -> list[str]:
    """The requirements of a wheel.

    Parameters
    ----------
    wheel : Path
    extras : list of str
        Extras whose requirements are needed, too.
    without : list of str
        Packages that are left out.

    Raises
    ------
    ValueError
        The wheel has no such extra, or does not need what is left out.
    """
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    known = {canonicalize_name(extra) for extra in metadata.get_all("Provides-Extra", [])}
    for extra in extras:
        if canonicalize_name(extra) not in known:
            raise ValueError(f"--extra {extra}: {wheel.name} has no such extra; allowed: {', '.join(sorted(known))}")
    needed = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    needed = [one for one in needed if _applies(one, extras)]
    names = {canonicalize_name(one.name) for one in needed}
    dropped = {canonicalize_name(name) for name in without}
    if dropped - names:
        raise ValueError(f"--without {', '.join(sorted(dropped - names))}: {wheel.name} does not need it")
    return sorted({_line(one) for one in needed if canonicalize_name(one.name) not in dropped})


def _line(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"


def _applies(requirement: Requirement, extras: list[str]) -> bool:
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras))


def main() -> int:
    """Read the arguments, and print the requirements."""
    parser = argparse.ArgumentParser(description="Print what a wheel needs, one requirement a line.")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--extra", action="append", default=[], help="an extra that is needed; repeatable")
    parser.add_argument("--without", action="append", default=[], help="a package that is left out; repeatable")
    chosen = parser.parse_args()
    try:
        print("\n".join(requirements(chosen.wheel, [extra for extra in chosen.extra if extra], chosen.without)))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
