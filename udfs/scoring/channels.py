"""Channels as members: each channel by itself, and all channels of an event together."""

from __future__ import annotations

import numpy as np
from streamgauge.models.contract import Flags, Floats, Ints
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
    known = ~np.isnan(looks)
    # A channel of runs is silent in most fields, and has looked at all of them.
    price = np.log(np.maximum(np.where(of_runs, looks.shape[1], known.sum(axis=1)), 1))
    strongest = np.where(known, looks, 0.0).max(axis=1, initial=0.0) - price - prices
    opinions.raw_scores[:, :channels] = np.where(known.any(axis=1), np.maximum(strongest, 0.0), np.nan)
    opinions.joined, opinions.by_kind = join_fields(np.ascontiguousarray(looks[:, :, ~of_runs]), kinds)
    # What channels and fields say together is calibrated once more, over all entities.
    if looks.shape[1] == 1:
        opinions.raw_scores[:, channels] = np.where(quarantined, -opinions.joined, opinions.joined)
    else:
        opinions.raw_scores[:, channels + 1] = opinions.joined
    for k in range(channels):
        opinions.contributions[k] = ChannelShares(looks[:, :, k])
