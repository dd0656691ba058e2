"""Entities beside their peers: where these stand, and how far these are from where they usually stand together."""

from __future__ import annotations

from typing import Any

import numpy as np
from streamgauge.models.contract import Flags, Floats
from streamgauge.models.detectors.cohort.cohort_level import CohortLevel


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

    def among(self, distances: Floats, fresh: Flags) -> Floats:
        """Each entity's distance from its expectation, less what the others have of it just now, float64[n, d]."""
        own: Floats = distances - np.nan_to_num(self.strays.rate_learn_many(distances, fresh))
        return own

    def count(self, entities: int) -> None:
        """So many entities are more, or fewer, without a comparison."""
        self.level.entities += entities
        self.strays.entities += entities

    def to_state(self) -> list[Any]:
        """All that was learned."""
        return [[level.entities, level.sums.tolist()] for level in (self.level, self.strays)]

    def restore(self, state: list[Any]) -> None:
        """Become what `to_state` told."""
        for level, (entities, sums) in zip((self.level, self.strays), state, strict=True):
            level.entities, level.sums = entities, np.array(sums, dtype=np.float64).reshape(-1, 2)
