"""Signatures of manifests, Ed25519. Loaded only where a registry signs or trusts keys."""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from streamgauge.models.errors import ModelError
from streamgauge.models.persistence.manifest import Manifest

MAKE_ONE = "make one: openssl genpkey -algorithm ed25519"


def read_key(path: Path) -> Ed25519PrivateKey:
    """A private key from its PEM file.

    Raises
    ------
    ModelError
        It cannot be read, or is no Ed25519 key.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"the key {path} cannot be read ({error}); {MAKE_ONE}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ModelError(f"{path} is no Ed25519 key; {MAKE_ONE}")
    return key


def signed(manifest: Manifest, key: Ed25519PrivateKey) -> Manifest:
    """The manifest with its signature, and the public key that fits it."""
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    with_key = manifest.model_copy(update={"key": public})
    signature = base64.b64encode(key.sign(with_key.signed_part())).decode()
    return with_key.model_copy(update={"signature": signature})


def check(manifest: Manifest, where: str) -> None:
    """Check that the signature of a signed manifest fits it; `where` names it in the message.

    Raises
    ------
    ModelError
        It does not fit.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(manifest.key or ""))
        key.verify(base64.b64decode(manifest.signature or ""), manifest.signed_part())
    except (InvalidSignature, ValueError) as error:
        raise ModelError(f"{where}: the signature does not fit: its manifest was changed") from error
