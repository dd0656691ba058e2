"""Codes of incidents: what changed, how severe they are, and what kind of anomaly each is."""

from __future__ import annotations

OPENED, UPDATED, RESOLVED, RETRACTED = 1, 2, 3, 4  # only late events of a window retract an incident
CHANGES = {OPENED: "opened", UPDATED: "updated", RESOLVED: "resolved", RETRACTED: "retracted"}
OPEN = (CHANGES[OPENED], CHANGES[UPDATED])
ENDED = (CHANGES[RESOLVED], CHANGES[RETRACTED])
SEVERITIES = ("low", "medium", "high", "critical")
# The status of an incident holds its kind (the lowest `KIND_BITS` bits), and above it a bit for each kind that was reported.
POINT, CONDITIONAL, CONTEXTUAL, COLLECTIVE, RELATIVE, DRIFT = range(1, 7)
KINDS = {
    POINT: "point",
    CONDITIONAL: "conditional",
    CONTEXTUAL: "contextual",
    COLLECTIVE: "collective",
    RELATIVE: "relative",
    DRIFT: "drift",
}
KIND_BITS = 4


def kind_of(status: int) -> int:
    """The kind of incident that a status holds."""
    return status & ((1 << KIND_BITS) - 1)
