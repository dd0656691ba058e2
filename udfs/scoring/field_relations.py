"""How the fields of an event fit together: gives `Relations` what it needs of each entity, and keeps it with the entity."""

from __future__ import annotations

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.models.detectors.cohort.cohort_detector import CohortDetector
from streamgauge.models.detectors.cohort.relations import Relations
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.scoring.opinions import ChannelShares, Opinions

# float64 numbers of an entity's field that are kept, the last ones of its light state: whether they are known, two means, and four of the
# entity, which stand with its first field.
KEPT = 7


class FieldRelations:
    """The opinion of `Relations`, one of the cohort's detectors."""

    def add_opinions(
        self, cohort: dict[str, CohortDetector], stretch: Stretch, light: Floats, deviations: Floats, opinions: Opinions
    ) -> None:
        """Add the opinion about a stretch, and learn it.

        Parameters
        ----------
        cohort : dict of str to CohortDetector
            With more fields than before, the detector in it is replaced by one that begins anew.
        stretch : Stretch
        light : float64[entities, d, width]
            State of the light detectors; what is kept is changed in place.
        deviations : float64[n, d]
            Each value's deviation from the level of its entity, in standard deviations; NaN is unknown.
        opinions : Opinions
        """
        fields = stretch.X.shape[1]
        if not 1 < fields <= cohort["relations"].max_fields:
            return
        rows, slots = np.unique(stretch.rows, return_inverse=True)
        kept = light[rows, :, -KEPT:]
        recent = np.concatenate((kept[:, :, 1], kept[:, :, 2], kept[:, 0, 3:]), axis=1)
        recent[kept[:, 0, 0] == 0.0] = np.nan
        before = np.empty((len(stretch), recent.shape[1]))
        k = opinions.names.index("relations")
        opinions.raw_scores[:, k], evidence = _rate(cohort, deviations, stretch.X, slots, recent, before)
        opinions.contributions[k] = ChannelShares(evidence)
        opinions.relations = np.hstack((deviations, stretch.X, before))
        kept[:, :, 0] = 1.0
        kept[:, :, 1], kept[:, :, 2] = recent[:, :fields], recent[:, fields : 2 * fields]
        kept[:, 0, 3:] = recent[:, 2 * fields :]
        light[rows, :, -KEPT:] = kept

    def learn(self, cohort: dict[str, CohortDetector], inputs: Floats) -> None:
        """Learn events again, float64[n, 4 d + 4] (see `Opinions.relations`)."""
        if inputs.size:
            d = (inputs.shape[1] - 4) // 4
            recent = np.ascontiguousarray(inputs[:, 2 * d :])
            _rate(cohort, inputs[:, :d], inputs[:, d : 2 * d], np.arange(len(inputs)), recent, None)


def _rate(
    cohort: dict[str, CohortDetector], deviations: Floats, X: Floats, slots: Ints, recent: Floats, before: Floats | None
) -> tuple[Floats, Floats]:
    """See `Relations.rate_learn_many`."""
    relations = cohort["relations"]
    assert isinstance(relations, Relations)
    if relations.width not in (None, X.shape[1]):
        cohort["relations"] = relations = relations.widened(X.shape[1])
    return relations.rate_learn_many(np.ascontiguousarray(deviations), slots, recent, X, before)
