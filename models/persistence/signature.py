"""Signatures, Ed25519: of manifests and aliases of models, and of what alerts tell. Loaded only where something is signed or checked."""

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
        return private_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"the key {path} cannot be read ({error}); {MAKE_ONE}") from error


def private_key(pem: bytes) -> Ed25519PrivateKey:
    """A private key from PEM. Raises ValueError, which does not show the text, if it is no Ed25519 key without a password."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        raise ValueError("no PEM with a private key that has no password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("no Ed25519 key")
    return key


def public_text(key: Ed25519PrivateKey) -> str:
    """The public key of a private one, base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def signature(content: bytes, key: Ed25519PrivateKey) -> str:
    """The signature of some bytes, base64. The same bytes always have the same one."""
    return base64.b64encode(key.sign(content)).decode()


def fits(content: bytes, signature: str, public: str) -> bool:
    """Whether a signature of some bytes fits a public key; both are base64. False, too, if they are none."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public))
        key.verify(base64.b64decode(signature), content)
    except (InvalidSignature, ValueError):
        return False
    return True


def signed(manifest: Manifest, key: Ed25519PrivateKey) -> Manifest:
    """The manifest with its signature, and the public key that fits it."""
    with_key = manifest.model_copy(update={"key": public_text(key)})
    return with_key.model_copy(update={"signature": signature(with_key.signed_part(), key)})


def check(manifest: Manifest, where: str) -> None:
    """Check that the signature of a signed manifest fits it; `where` names it in the message.

    Raises
    ------
    ModelError
        It does not fit.
    """
    if not fits(manifest.signed_part(), manifest.signature or "", manifest.key or ""):
        raise ModelError(f"{where}: the signature does not fit: its manifest was changed")
