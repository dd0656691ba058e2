"""Verdicts to kinds: what sort of anomaly an event is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.udfs.incidents.lifecycle import COLLECTIVE, CONDITIONAL, CONTEXTUAL, DRIFT, POINT, RELATIVE
from streamgauge.udfs.scoring.attribution import shares
from streamgauge.udfs.scoring.calibrate import AGREES
from streamgauge.udfs.scoring.opinions import Opinions, Verdicts

CODES = np.array((POINT, CONTEXTUAL, COLLECTIVE, RELATIVE, DRIFT))  # in the order of `EVIDENCE`


def classify(
    surprising: Flags, violated: Flags, known: Flags, X: Floats, opinions: Opinions, verdicts: Verdicts, contextual: list[int],
    limits: Floats, elsewhere: Callable[[int, int, float], bool] | None = None,
) -> Ints:  # fmt: skip
    """Look at the surprising events one by one: they are few.

    The kind is that which has the strongest evidence. A single event is contextual where the value to blame is usual for the entity,
    only not at this time; a point where it is not.

    Parameters
    ----------
    surprising, violated : bool[n]
        At or beyond the threshold; against a rule.
    known : bool[n, d]
        Values in the range that is usual for the entity.
    X : float64[n, d]
    opinions, verdicts
    contextual : list of int
        Members that look for contextual anomalies.
    limits : float64[n]
        Surprise of each event's threshold.
    elsewhere : callable, optional
        Whether an event's field (place, column, value) is usual for its entity in another situation: it is contextual, then.

    Returns
    -------
    int64[n]
        POINT for events that are not surprising.
    """
    kinds = np.where(violated, CONDITIONAL, POINT).astype(np.int64)
    if not surprising.any():
        return kinds
    for i in np.flatnonzero(surprising & ~violated).tolist():
        evidence = verdicts.evidence[i]
        kinds[i] = CODES[evidence.argmax()]
        if kinds[i] == COLLECTIVE and evidence[CODES == RELATIVE].max() >= limits[i]:
            kinds[i] = RELATIVE  # a run apart from the peers
        if kinds[i] not in (POINT, CONTEXTUAL) or not X.shape[1]:
            continue
        share = shares(i, X.shape[1], opinions.categories.shape[1], opinions, verdicts)
        blamed = int(share.argmax())
        usual = blamed < X.shape[1] and known[i, blamed]
        told = np.nan_to_num(verdicts.surprises[i, contextual]).max(initial=0.0)
        kinds[i] = CONTEXTUAL if usual and told >= AGREES else POINT
        if elsewhere and blamed < X.shape[1] and elsewhere(i, blamed, float(X[i, blamed])):
            kinds[i] = CONTEXTUAL
    return kinds
