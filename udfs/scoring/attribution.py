"""Opinions to shares of fields: which fields made an event anomalous, and what was expected of them."""

from __future__ import annotations

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.udfs.scoring.calibrate import SHADOW
from streamgauge.udfs.scoring.opinions import Opinions, Verdicts


def shares(i: int, fields: int, text_fields: int, opinions: Opinions, verdicts: Verdicts) -> Floats:
    """Each field's share in an event.

    Each member divides an event among the fields; these shares are averaged, weighted by the members' evidence. Shadows do not count.

    Parameters
    ----------
    i : int
        Place of the event.
    fields, text_fields : int
        Number of numeric fields and of text fields.
    opinions : Opinions
    verdicts : Verdicts

    Returns
    -------
    float64[fields + text_fields]
        Each from 0 to 1. They add up to 1, or are all 0 where no member has evidence and weights.
    """
    share = np.zeros(fields + text_fields)
    for name, weights, evidence in zip(opinions.names, opinions.contributions, verdicts.members[i], strict=True):
        if weights is None or not evidence > 0 or name.endswith(SHADOW):
            continue
        member_weights = np.nan_to_num(weights[i])
        if member_weights.sum() > 0:
            share[:fields] += evidence * member_weights / member_weights.sum()
    share[fields : fields + opinions.categories.shape[1]] += opinions.categories[i]
    total = share.sum()
    return share / total if total > 0 else share


def expected(i: int, fields: int, opinions: Opinions) -> Floats:
    """What each field of an event was expected to be.

    Parameters
    ----------
    i : int
        Place of the event.
    fields : int
        Number of numeric fields.
    opinions : Opinions

    Returns
    -------
    float64[fields]
        The expectation of the first member that has one; NaN where no member has one.
    """
    known = np.full(fields, np.nan)
    for expectations in opinions.expected:
        if np.isnan(known).any():
            known = np.where(np.isnan(known), expectations[i], known)
    return known
