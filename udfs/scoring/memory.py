"""What a cohort detector would take, before it is made: the same limit for settings and for control messages."""

from __future__ import annotations

from streamgauge.models.catalog import COHORT
from streamgauge.models.contract import MOST_BYTES
from streamgauge.udfs.scoring.detectors import COLUMNS, OWN
from streamgauge.udfs.settings.base import Section


def check_memory(name: str, section: Section, most_fields: int) -> None:
    """Raise ValueError if a cohort detector with some parameters would take too much memory.

    Parameters
    ----------
    name : str
        Of the detector.
    section : Section
        Its settings.
    most_fields : int
        `event.max_fields`.
    """
    kind = COHORT[name]
    size = kind.bytes_for(
        min(most_fields, kind.max_fields) * COLUMNS[kind.input_kind], **section.model_dump(exclude=OWN)
    )
    if size > MOST_BYTES:
        raise ValueError(
            f"detectors.{name} would take {size / 1e6:.0f} MB for each partition with event.max_fields {most_fields}; "
            f"{MOST_BYTES / 1e6:.0f} MB are allowed: make it smaller, or look at fewer fields"
        )
