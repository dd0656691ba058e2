"""Opinions to shares of fields: who is to blame for an event."""

from __future__ import annotations

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.udfs.scoring.calibrate import SHADOW
from streamgauge.udfs.scoring.opinions import Opinions, Verdicts


def shares(i: int, fields: int, text_fields: int, opinions: Opinions, verdicts: Verdicts) -> Floats:
    """Each field's share in an event: the members' own shares, weighted by their surprise.

    Parameters
    ----------
    i : int
        Place of the event.
    fields, text_fields : int

    Returns
    -------
    float64[fields + text_fields]
        They add up to 1, or are all 0.
    """
    share = np.zeros(fields + text_fields)
    for name, weights, surprise in zip(opinions.names, opinions.contributions, verdicts.surprises[i], strict=True):
        if weights is None or not surprise > 0 or name.endswith(SHADOW):
            continue
        own = np.nan_to_num(weights[i])
        if own.sum() > 0:
            share[:fields] += surprise * own / own.sum()
    share[fields : fields + opinions.categories.shape[1]] += opinions.categories[i]
    total = share.sum()
    return share / total if total > 0 else share


def expected(i: int, fields: int, opinions: Opinions) -> Floats:
    """What each field was expected to be, float64[fields], NaN where nobody knows."""
    known = np.full(fields, np.nan)
    for told in opinions.expected:
        if np.isnan(known).any():
            known = np.where(np.isnan(known), told[i], known)
    return known
