"""Checks of settings for which the detectors are needed: names of trained detectors, and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamgauge.models.catalog import COHORT, FITTED, REMOVED, why_unknown
from streamgauge.models.contract import MOST_BYTES
from streamgauge.udfs.scoring.detectors import COLUMNS, OWN

if TYPE_CHECKING:
    from streamgauge.jobs.settings.loading import Settings


def check(settings: Settings) -> None:
    """Raise ValueError if a candidate is not a trained detector, or if a detector would take too much memory."""
    if unknown := [name for name in settings.retrain.candidates if name not in FITTED]:
        why = f", {why_unknown(unknown[0])}" if unknown[0] in REMOVED else f"; these are: {', '.join(FITTED)}"
        raise ValueError(f"retrain.candidates: {unknown[0]!r} is none that is trained{why}")
    most = settings.event.max_fields
    for name, kind in COHORT.items():
        section = getattr(settings.detectors, name)
        if section is None:
            continue
        size = kind.bytes_for(min(most, kind.max_fields) * COLUMNS[kind.input_kind], **section.model_dump(exclude=OWN))
        if size > MOST_BYTES:
            raise ValueError(
                f"detectors.{name} would take {size / 1e6:.0f} MB for each partition with event.max_fields {most}; "
                f"{MOST_BYTES / 1e6:.0f} MB are allowed: make it smaller, or look at fewer fields"
            )
