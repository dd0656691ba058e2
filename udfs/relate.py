"""Entities beside their peers: where these stand, and how far these are from where they usually stand together."""

from __future__ import annotations

from typing import Any

import numpy as np
from streamgauge.models.cohort_level import CohortLevel
from streamgauge.models.contract import Flags, Floats


class Peers:
    """The entities of a log as a group.

    Attributes
    ----------
    level : CohortLevel
        Of what their hour does not explain, in deviations.
    strays : CohortLevel
        Of how far each is from what the level lets expect: when all stray at once, none has left the group.
    """

    def __init__(self) -> None:
        self.level, self.strays = CohortLevel(), CohortLevel()

    def levels(self, distances: Floats, fresh: Flags) -> Floats:
        """Level of the group at each event; see `CohortLevel.rate_learn_many`."""
        return self.level.rate_learn_many(distances, fresh)

    def among(self, distances: Floats) -> Floats:
        """Each entity's distance from its expectation, less what the others have of it just now, float64[n, d]."""
        self.strays.entities = self.level.entities
        shared = self.strays.rate_learn_many(distances, np.zeros(len(distances), np.bool_))
        own: Floats = distances - np.nan_to_num(shared)
        return own

    def leave(self, entities: int) -> None:
        """So many are forgotten."""
        self.level.entities -= entities

    def to_state(self) -> list[Any]:
        """All that was learned."""
        return [self.level.entities, self.level.sums.tolist(), self.strays.sums.tolist()]

    def restore(self, state: list[Any]) -> None:
        """Become what `to_state` told."""
        self.level.entities, level, strays = state
        self.level.sums, self.strays.sums = (
            np.array(sums, dtype=np.float64).reshape(-1, 2) for sums in (level, strays)
        )
