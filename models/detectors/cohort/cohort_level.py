"""The common level of the entities of a partition, which each of them is compared with."""

from __future__ import annotations

import math

import numpy as np
from streamgauge.models.contract import Flags, Floats
from streamgauge.models.kernel import kernel

LEAST_PEERS = 8.0  # fewer entities have no level
SPANNED = 0.5  # events of each entity that the level looks back on
MOST_SPANNED = 4096.0
CLIP = 3.0  # standard deviations from the level that a value counts at most


class CohortLevel:
    """A running mean of the entities' normalised values, over about as many events as half of the entities.

    A value counts as three standard deviations from the level at most.

    Attributes
    ----------
    entities : float
        Entities that count.
    sums : float64[d, 2]
        Of values and of weights, for each field.
    """

    def __init__(self) -> None:
        self.entities = 0.0
        self.sums = np.zeros((0, 2))

    def rate_learn_many(self, Z: Floats, fresh: Flags) -> Floats:
        """The level before each event, in row order; then the event is learned.

        Parameters
        ----------
        Z : float64[n, d]
            In standard deviations of each entity's own past; NaN where unknown.
        fresh : bool[n]
            Whether the event is the first one of its entity.

        Returns
        -------
        float64[n, d]
            NaN where fewer than eight entities are known.
        """
        if Z.shape[1] > len(self.sums):
            self.sums = np.vstack((self.sums, np.zeros((Z.shape[1] - len(self.sums), 2))))
        levels = np.full(Z.shape, np.nan)
        self.entities = _level(Z, fresh, self.entities, self.sums, levels)
        return levels


@kernel
def _level(Z, fresh, entities, sums, levels):  # type: ignore[no-untyped-def]
    for i in range(Z.shape[0]):
        if fresh[i]:
            entities += 1.0
        keep = 1.0 - 1.0 / min(max(SPANNED * entities, LEAST_PEERS), MOST_SPANNED)
        for f in range(Z.shape[1]):
            z = Z[i, f]
            if math.isnan(z):
                continue
            level = sums[f, 0] / sums[f, 1] if sums[f, 1] > 0.0 else 0.0
            if entities >= LEAST_PEERS and sums[f, 1] >= 0.5 * LEAST_PEERS:
                levels[i, f] = level
            sums[f, 0] = keep * sums[f, 0] + min(max(z, level - CLIP), level + CLIP)
            sums[f, 1] = keep * sums[f, 1] + 1.0
    return entities
