"""Entities compared with their peers: the level that all have in common, and the deviations from it that all have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from streamgauge.models.contract import Flags, Floats
from streamgauge.models.detectors.cohort.cohort_level import CohortLevel


class Peers:
    """The entities of a partition as a group.

    Attributes
    ----------
    level : CohortLevel
        Common level of the entities' residuals, which are what the hour does not explain, in deviations.
    strays : CohortLevel
        Common level of the entities' deviations from what is expected by `level`. If all deviate at once, no single entity has left the
        group.
    """

    def __init__(self) -> None:
        self.level, self.strays = CohortLevel(), CohortLevel()

    def levels(self, deviations: Floats, first: Flags) -> Floats:
        """Level of the group before each event, which is then learned; see `CohortLevel.rate_learn_many`.

        Parameters
        ----------
        deviations : float64[n, d]
            What the hour does not explain, in deviations of each entity; NaN is unknown.
        first : bool[n]
            Whether the entity joins the group with this event.

        Returns
        -------
        float64[n, d]
        """
        return self.level.rate_learn_many(deviations, first)

    def among(self, deviations: Floats, first: Flags) -> Floats:
        """Each entity's deviation from its expected value, without the part that the other entities have in common with it now.

        Parameters
        ----------
        deviations : float64[n, d]
            NaN is unknown.
        first : bool[n]
            Whether the entity joins the group with this event.

        Returns
        -------
        float64[n, d]
        """
        remaining: Floats = deviations - np.nan_to_num(self.strays.rate_learn_many(deviations, first))
        return remaining

    def count(self, entities: int) -> None:
        """Add entities to the group that are not compared, or remove them (a negative number)."""
        self.level.entities += entities
        self.strays.entities += entities

    def to_state(self) -> list[Any]:
        """All that was learned."""
        return [[level.entities, level.sums.tolist()] for level in (self.level, self.strays)]

    def restore(self, state: list[Any]) -> None:
        """Restore what `to_state` gave."""
        for level, (entities, sums) in zip((self.level, self.strays), state, strict=True):
            level.entities, level.sums = entities, np.array(sums, dtype=np.float64).reshape(-1, 2)
