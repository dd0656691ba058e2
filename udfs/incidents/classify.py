"""What kind of anomaly an event is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.incidents.kinds import COLLECTIVE, CONDITIONAL, CONTEXTUAL, DRIFT, POINT, RELATIVE
from streamgauge.udfs.scoring.attribution import shares
from streamgauge.udfs.scoring.calibrate import AGREES
from streamgauge.udfs.scoring.scorer import Scored

CODES = np.array((POINT, CONTEXTUAL, COLLECTIVE, RELATIVE, DRIFT))  # in the order of `EVIDENCE`
# Says, given an event's place, a column and a value, whether this value of the field is usual for the entity in another situation.
UsualElsewhere = Callable[[int, int, float], bool]


def classify(
    scored: Scored,
    X: Floats,
    violated: Flags,
    evidence_needed: Floats,
    contextual: Flags,
    usual_elsewhere: UsualElsewhere | None = None,
) -> Ints:
    """The kind of each anomalous event.

    An event that breaks a rule is conditional. Any other event has the kind with the most evidence. Point and contextual anomalies are
    distinguished by the field with the largest share: the event is contextual if its value is usual for the entity, but not at this time or
    not in this situation, and a point if the value is not usual.

    Parameters
    ----------
    scored : Scored
    X : float64[n, d]
        Values; NaN is missing.
    violated : bool[n]
        Whether the event breaks a rule.
    evidence_needed : float64[n]
        Evidence at the threshold of each event.
    contextual : bool[members]
        Which members look for contextual anomalies.
    usual_elsewhere : callable, optional
        Only where situations are declared.

    Returns
    -------
    int64[n]
        Codes of `kinds`; POINT for events that are not anomalous.
    """
    opinions, verdicts = scored.opinions, scored.verdicts
    anomalous = verdicts.strongest >= evidence_needed
    kinds = np.where(violated, CONDITIONAL, POINT).astype(np.int64)
    for i in np.flatnonzero(anomalous & ~violated).tolist():  # one by one: anomalous events are few
        by_kind = verdicts.by_kind[i]
        kinds[i] = CODES[by_kind.argmax()]
        if kinds[i] == COLLECTIVE and by_kind[CODES == RELATIVE].max() >= evidence_needed[i]:
            kinds[i] = RELATIVE  # the run of unusual values is one that the peers do not share
        if kinds[i] not in (POINT, CONTEXTUAL) or not X.shape[1]:
            continue
        share = shares(i, X.shape[1], opinions.categories.shape[1], opinions, verdicts)
        blamed = int(share.argmax())  # a numeric field, or a text field from X.shape[1] on
        usual = blamed < X.shape[1] and scored.usual[i, blamed]
        evidence = np.nan_to_num(verdicts.members[i, contextual]).max(initial=0.0)
        kinds[i] = CONTEXTUAL if usual and evidence >= AGREES else POINT
        if usual_elsewhere and blamed < X.shape[1] and usual_elsewhere(i, blamed, float(X[i, blamed])):
            kinds[i] = CONTEXTUAL
    return kinds
