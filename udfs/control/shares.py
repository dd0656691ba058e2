"""Entities to shares: who is a canary, who has which threshold of a trial. Always the same ones, and independent of each other."""

from __future__ import annotations

import functools
import hashlib


@functools.lru_cache(maxsize=1 << 17)
def place_of(entity: str, purpose: str) -> float:
    """Where an entity stands among all, for a purpose: even over [0, 1)."""
    digest = hashlib.blake2b(entity.encode(), digest_size=4, key=purpose.encode()).digest()
    return int.from_bytes(digest, "little") / 2**32


def is_canary(entity: str, share: float) -> bool:
    """Whether an entity is one of the share for which a shadow is heard; of a larger share it is, too."""
    return place_of(entity, "canary") < share
