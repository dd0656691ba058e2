"""Codes of incidents: what changed, how severe they are, what kind of anomaly each is; and the field to blame in an alert."""

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


def most_to_blame(contributions: dict[str, float]) -> str | None:
    """The field with the largest share in an alert; None if none has a share, as where only a rule is broken."""
    shares = {name: share for name, share in contributions.items() if share > 0.0}
    return max(shares, key=shares.__getitem__, default=None)
