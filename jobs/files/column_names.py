"""Names of columns, each of which is another one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

TOLD = 3  # renamed columns that the note names


def unique(given: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Rename columns whose name is there before.

    Parameters
    ----------
    given : sequence of str
        Names as they are in a file.

    Returns
    -------
    names : tuple of str
        A number stands behind a name that is there before: the second ``a`` is ``a.1``.
    note : str
        Which columns were renamed, in words; empty if none was.
    """
    names: dict[str, None] = {}
    renamed: dict[str, str] = {}  # the name in the file, by the new one
    numbers: dict[str, int] = {}  # the last number behind each name
    written = set(given)
    for name in given:
        new, number = name, 0
        while new in names or (number and new in written):
            number = numbers[name] = numbers.get(name, 0) + 1
            new = f"{name}.{number}"
        if number:
            renamed[new] = name
        names[new] = None
    if not renamed:
        return tuple(names), ""
    told = ", ".join(f"{name!r} to {new!r}" for new, name in itertools.islice(renamed.items(), TOLD))
    more = f", and {len(renamed) - TOLD} more" if len(renamed) > TOLD else ""
    return tuple(names), f"columns whose name is there before are renamed: {told}{more}"
