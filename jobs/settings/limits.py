"""Checks of settings for which the detectors are needed: names of trained detectors, and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamgauge.models.catalog import COHORT, FITTED, REMOVED, why_unknown
from streamgauge.udfs.scoring.memory import check_memory

if TYPE_CHECKING:
    from streamgauge.jobs.settings.loading import Settings


def check(settings: Settings) -> None:
    """Raise ValueError if a candidate is not a trained detector, or if a detector would take too much memory."""
    if unknown := [name for name in settings.retrain.candidates if name not in FITTED]:
        why = f", {why_unknown(unknown[0])}" if unknown[0] in REMOVED else f"; these are: {', '.join(FITTED)}"
        raise ValueError(f"retrain.candidates: {unknown[0]!r} is none that is trained{why}")
    for name in COHORT:
        section = getattr(settings.detectors, name)
        if section is not None:
            check_memory(name, section, settings.event.max_fields)
