"""The entity of a record in SQL, so that Flink can assign records to shards without Python."""

from __future__ import annotations

from itertools import product

from streamgauge.udfs.settings.event import KEY, EventSettings

MOST_DOTS = 6  # in the name of a field: each may separate two levels of nesting, or be part of a key
# A whole number may be written with a fraction of zeros or with an exponent. Python reads both as the same entity.
_WRITTEN_AS_FLOAT = r"^-?[0-9]+(\.[0-9]+)?(E[0-9]+)?$"


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def entity_sql(settings: EventSettings, payload: str, key: str) -> str:
    """An expression that is equal for all records of the same entity; NULL where the JVM finds none.

    Records of different entities may be equal, too. That does no harm, because a shard holds many entities.

    Parameters
    ----------
    settings : EventSettings
    payload, key : str
        Expressions of the record's value and key, both of type STRING.

    Raises
    ------
    ValueError
        The name of a field has too many dots.
    """
    old_names: dict[str, list[str]] = {}
    for old, new in settings.rename.items():
        old_names.setdefault(new, []).append(old)
    parts = []
    for name in settings.entity_fields:
        if name == KEY:
            parts.append(f"""TRIM(BOTH '"' FROM {key})""")  # it may be a JSON text
        else:
            found = [_value(payload, keys) for one in (name, *old_names.get(name, ())) for keys in _paths(one)]
            parts.append(_whole_number(f"COALESCE({', '.join(found)}, CAST(NULL AS STRING))"))
    return parts[0] if len(parts) == 1 else f"({' || CHR(31) || '.join(parts)})"


def _paths(name: str) -> list[list[str]]:
    """The keys under which a field may be found, one list for each way to read the dots in its name; the most nested first."""
    words = name.split(".")
    if len(words) - 1 > MOST_DOTS:
        raise ValueError(
            f"event.entity: {name!r} has more than {MOST_DOTS} dots, which batch.sharding: entity cannot read"
        )
    paths = []
    for splits in product((True, False), repeat=len(words) - 1):
        keys = [words[0]]
        for split, word in zip(splits, words[1:], strict=True):
            if split:
                keys.append(word)
            else:
                keys[-1] += f".{word}"
        paths.append(keys)
    return sorted(paths, key=len, reverse=True)


def _value(payload: str, keys: list[str]) -> str:
    escaped = (key.replace("\\", "\\\\").replace('"', '\\"') for key in keys)
    path = "$" + "".join(f'["{key}"]' for key in escaped)
    return f"JSON_VALUE({payload}, {quoted(path)})"


def _whole_number(text: str) -> str:
    number = f"CAST(TRY_CAST(TRY_CAST({text} AS DOUBLE) AS DECIMAL(38, 0)) AS STRING)"
    return f"CASE WHEN REGEXP({text}, {quoted(_WRITTEN_AS_FLOAT)}) AND REGEXP({text}, '[.E]') THEN {number} ELSE {text} END"
