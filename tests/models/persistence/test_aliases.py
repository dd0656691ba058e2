"""An entry of an alias counts only if one of the trusted keys signed all of it."""

from __future__ import annotations

import base64
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from streamgauge.models.persistence.aliases import is_signed, signed_entry
from streamgauge.models.persistence.signature import public_text

KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)) for number in (1, 2))
TRUSTED = (public_text(KEY),)
ENTRY = {"version": 3, "at": "2026-11-30T00:00:00+00:00", "by": "ann", "why": "better"}


def believed(entry):
    return is_signed("pumps", "live", entry, TRUSTED)


def test_an_entry_that_a_trusted_key_signed_is_believed():
    assert believed(signed_entry("pumps", "live", ENTRY, 0, KEY))


def test_an_entry_with_a_good_signature_of_another_key_is_not_believed():
    forged = signed_entry("pumps", "live", ENTRY, 0, OTHER)
    assert is_signed("pumps", "live", forged, (public_text(OTHER),))
    assert not believed(forged)
    assert not believed(forged | {"key": TRUSTED[0]})


@pytest.mark.parametrize("lost", ["key", "serial", "signature"])
def test_an_entry_that_lost_a_part_of_what_signs_it_is_not_believed(lost):
    signed = signed_entry("pumps", "live", ENTRY, 0, KEY)
    assert not believed({name: value for name, value in signed.items() if name != lost})


def test_an_entry_without_a_serial_number_is_not_believed_although_a_trusted_key_signed_it():
    """It could be put back at any time, and nobody would see that it is an older one."""
    content = (
        b'{"alias": "live", "at": "2026-11-30T00:00:00+00:00", "by": "ann", "key": "%s", "model": "pumps", '
        b'"version": 3, "why": "better"}'
    ) % TRUSTED[0].encode()
    signature = base64.b64encode(KEY.sign(content)).decode()
    assert not believed({**ENTRY, "key": TRUSTED[0], "signature": signature})


def test_what_is_signed_is_the_entry_as_json_with_its_keys_in_order_and_the_names_of_model_and_alias():
    """Entries of earlier releases are signed so, and files may have their keys in any order."""
    content = (
        b'{"alias": "live", "at": "2026-11-30T00:00:00+00:00", "by": "ann", "key": "%s", "model": "pumps", '
        b'"serial": 7, "version": 3, "why": "better"}'
    ) % TRUSTED[0].encode()
    signature = base64.b64encode(KEY.sign(content)).decode()
    entry = {**ENTRY, "serial": 7, "key": TRUSTED[0], "signature": signature}
    assert believed(entry)
    assert believed(dict(reversed(entry.items())))


def test_a_serial_number_is_larger_than_the_last_one_and_at_least_the_milliseconds_since_1970():
    """So it grows although the file with the largest one was lost."""
    before = int(1000 * time.time())
    assert before <= signed_entry("pumps", "live", ENTRY, 0, KEY)["serial"] <= int(1000 * time.time())
    assert signed_entry("pumps", "live", ENTRY, 2 * before, KEY)["serial"] == 2 * before + 1
