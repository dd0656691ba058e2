"""Channels as members: each channel by itself, and all channels of an event together."""

from __future__ import annotations

import math

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints
from streamgauge.models.kernel import kernel
from streamgauge.udfs.scoring.join import join_fields
from streamgauge.udfs.scoring.opinions import ChannelShares, Opinions

# The members that join all channels: those of the only field, and those of several fields. They stand after the channels.
FIELD, FIELDS = "field", "fields"


def add_channels(opinions: Opinions, of_runs: Flags, kinds: Ints, prices: Floats, quarantined: Flags) -> None:
    """Add each channel as a member, and the member that joins them.

    A channel has the evidence of its most unusual field, less what so many fields show by chance.

    Parameters
    ----------
    opinions : Opinions
        With all looks; changed in place.
    of_runs : bool[channels]
        See `Channel`. These are not joined.
    kinds : int64[channels not of runs]
        Column of `EVIDENCE` of each channel that is joined.
    prices : float64[channels]
        See `Channel`.
    quarantined : bool[n]
        Events whose joined evidence is calibrated but not learned, where there is only one field: a minus marks it.
    """
    looks, channels = opinions.looks, len(of_runs)
    _add_strongest(looks, of_runs, prices, opinions.raw_scores)
    opinions.joined, opinions.by_kind = join_fields(np.ascontiguousarray(looks[:, :, ~of_runs]), kinds)
    # What channels and fields say together is calibrated once more, over all entities.
    if looks.shape[1] == 1:
        opinions.raw_scores[:, channels] = np.where(quarantined, -opinions.joined, opinions.joined)
    else:
        opinions.raw_scores[:, channels + 1] = opinions.joined
    for k in range(channels):
        opinions.contributions[k] = ChannelShares(looks[:, :, k])


@kernel
def _add_strongest(looks, of_runs, prices, raw_scores):  # type: ignore[no-untyped-def]
    n, fields, channels = looks.shape
    for i in range(n):
        for k in range(channels):
            known, strongest = 0, 0.0
            for f in range(fields):
                if not math.isnan(looks[i, f, k]):
                    known += 1
                    strongest = max(strongest, looks[i, f, k])
            if known == 0:
                raw_scores[i, k] = math.nan
                continue
            # A channel of runs is silent in most fields, and has looked at all of them.
            price = math.log(fields if of_runs[k] else known)
            raw_scores[i, k] = max(strongest - price - prices[k], 0.0)
