"""Divides entities into shares: for canaries, and for trials of two thresholds.

An entity is always in the same share of a purpose, and its shares for two purposes are independent of each other.
"""

from __future__ import annotations

import functools
import hashlib


@functools.lru_cache(maxsize=1 << 17)
def place_of(entity: str, purpose: str) -> float:
    """The place of an entity among all entities, for a purpose.

    Parameters
    ----------
    entity : str
    purpose : str
        Another purpose gives other, independent places.

    Returns
    -------
    float
        From 0 to below 1; the places of all entities are uniformly distributed.
    """
    digest = hashlib.blake2b(entity.encode(), digest_size=4, key=purpose.encode()).digest()
    return int.from_bytes(digest, "little") / 2**32


def is_canary(entity: str, share: float) -> bool:
    """Whether the shadow counts for an entity, if it counts for this share of the entities (0 to 1).

    If the share grows, the shadow still counts for all entities for which it counted before.
    """
    return place_of(entity, "canary") < share
