"""What an alias stands for: small documents, which may be signed. A signed one has a serial number that only grows."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

from streamgauge.models.lazy_modules import load_module


class Entry(TypedDict):
    """What an alias stood for, since when, who moved it, and why; and if it is signed, its serial number, key and signature."""

    version: int
    at: str
    by: str
    why: str
    serial: NotRequired[int]
    key: NotRequired[str]
    signature: NotRequired[str]


def signed_entry(name: str, alias: str, entry: Entry, last: int, key: Any) -> Entry:
    """A signed entry.

    Parameters
    ----------
    name, alias : str
        Model and alias. They are signed, too, so that an entry holds for no other.
    entry : Entry
    last : int
        Largest serial number so far. The new one is larger, and at least the milliseconds since 1970. So it also grows if somebody has
        put an older file back.
    key : Ed25519PrivateKey
    """
    signature = load_module("persistence.signature")
    serial = max(last + 1, int(1000 * time.time()))
    numbered: Entry = {**entry, "serial": serial, "key": signature.public_text(key)}
    return {**numbered, "signature": signature.signature(_signed_part(name, alias, numbered), key)}


def is_signed(name: str, alias: str, entry: Entry, trusted_keys: Sequence[str]) -> bool:
    """Whether one of the trusted keys signed an entry for this alias of this model."""
    if entry.get("key") not in trusted_keys or "serial" not in entry:
        return False
    fits = load_module("persistence.signature").fits
    return bool(fits(_signed_part(name, alias, entry), entry.get("signature", ""), entry["key"]))


def older(alias: str, serial: int, seen: int) -> str:
    """The words for an alias that was put back."""
    return (
        f"the alias {alias!r} has the serial number {serial}, but {seen} was seen before: somebody put an older one back; "
        "`streamgauge models promote` with --sign-key makes a newer one"
    )


def _signed_part(name: str, alias: str, entry: Entry) -> bytes:
    plain = {key: value for key, value in entry.items() if key != "signature"}
    return json.dumps({"model": name, "alias": alias, **plain}, sort_keys=True).encode()
