"""Numbers that are written as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeGuard

from streamgauge.udfs.settings.event import FieldSettings

# No leading zeros and at most 15 digits: a longer or padded number is an identifier, and float64 could not hold it exactly.
_PLAIN = re.compile(r"\s*[+-]?(?:(?:0|[1-9]\d{0,14})(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?\s*", re.ASCII)
_HEXADECIMAL = re.compile(r"\s*[+-]?0[xX][0-9a-fA-F]{1,13}\s*", re.ASCII)
_MAYBE = re.compile(r"\s*[+-]?\d[\d.,' _]*?\s*(?P<unit>(?:[^\W\d_]|[^\w\s.,'+-])[^\d\s]{0,9})?\s*")
_SIGNS = (
    (".", None),
    (".", ","),
    (",", None),
    (",", "."),
    (".", "'"),
    (".", " "),
    (",", " "),
)  # of decimals, of thousands
MOST_CHARACTERS = 40  # a longer text is no number


def plain_number(text: str) -> float | None:
    """The number that a text holds in plain decimal form, such as ``12.5`` or ``-1e-3``.

    Returns
    -------
    float or None
        None if the text is anything else. A number with leading zeros or more than 15 digits before the point is an identifier, and
        no number in this sense.
    """
    if len(text) > MOST_CHARACTERS or not _PLAIN.fullmatch(text):
        return None
    number = float(text)
    return number if abs(number) != float("inf") else None


def is_number(item: Any) -> TypeGuard[int | float]:
    """Whether a value is a number and no boolean."""
    return isinstance(item, int | float) and not isinstance(item, bool)


def number_of(item: Any) -> float | None:
    """The number that a value is, or holds as plain text; None if it is something else."""
    if isinstance(item, str):
        return plain_number(item)
    return item if is_number(item) else None


def declared_number(text: str, field: FieldSettings) -> float | None:
    """The number that a text holds in the form that is declared for its field; None if it is written in another form.

    Parameters
    ----------
    text : str
        Any leading zeros and number of digits; hexadecimal after ``0x``.
    field : FieldSettings
    """
    if len(text) > MOST_CHARACTERS:
        return None
    text = text.strip()
    if field.unit:
        text = text.removesuffix(field.unit).rstrip()
    if _HEXADECIMAL.fullmatch(text):
        return float(int(text, 16))
    whole, sign, fraction = text.partition(field.decimal)
    if field.thousands and field.thousands in whole:
        first, *groups = whole.lstrip("+-").split(field.thousands)
        if not 1 <= len(first) <= 3 or any(len(group) != 3 for group in groups):
            return None
        whole = whole.replace(field.thousands, "")
    if field.decimal != "." and "." in whole:
        return None
    number = f"{whole}.{fraction}" if sign else whole
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", number, re.ASCII):
        return None
    value = float(number)
    return value if abs(value) != float("inf") else None


def declaration_of(texts: Sequence[str]) -> FieldSettings | None:
    """The declaration that reads texts as numbers, such as `1,234.5` or `12 ms`. It is for advice: a person must confirm it.

    Parameters
    ----------
    texts : sequence of str
        Values of a field, at least one.

    Returns
    -------
    FieldSettings or None
        None if there is none for all of them, or if all are digits only: these may be names.
    """
    if all(text.strip().isdecimal() for text in texts):
        return None
    units = {found["unit"] or "" if (found := _MAYBE.fullmatch(text)) else "" for text in texts} - {""}
    unit = units.pop() if len(units) == 1 else ""
    for decimal, thousands in _SIGNS:
        declared = FieldSettings.model_validate(
            {"type": "number", "decimal": decimal, "thousands": thousands, "unit": unit}
        )
        if all(declared_number(text, declared) is not None for text in texts):
            return declared
    return None
