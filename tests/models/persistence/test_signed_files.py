"""A signature says who made a model: whoever can only write the registry can change nothing of it."""

from __future__ import annotations

import base64
import hashlib
import json

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from streamgauge.models.errors import ModelError
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past, make_candidate

random = np.random.default_rng(0)


def trained(seed):
    past = Past(random.normal(size=(400, 2)), ["a", "b"], np.zeros(400, np.int64), source="test", licence="CC0-1.0")
    return make_candidate("pumps", "isolation_forest", past, {"n_trees": 3, "seed": seed})


@pytest.fixture
def signed(tmp_path):
    """Folder of a registry with a signed version, and the registry that trusts its key."""
    private = Ed25519PrivateKey.generate()
    key = tmp_path / "key.pem"
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    folder = tmp_path / "models"
    Registry(str(folder)).publish(*trained(1), sign_key=key)
    return folder, Registry(str(folder), (public,))


def put(folder, data):
    """Write a file into the registry under its digest, as anybody can who may write there."""
    digest = hashlib.sha256(data).hexdigest()
    (folder / "pumps" / "files" / digest).write_bytes(data)
    return digest


def test_another_file_under_a_signed_manifest_is_refused(signed):
    folder, trusting = signed
    trusting.load("pumps", 1)
    path = folder / "pumps" / "versions" / "000001.json"
    manifest = json.loads(path.read_text())
    other = trained(2)[1]["full"][0]
    files = manifest["variants"]["full"]["files"]
    assert set(files) == set(other)
    for name, data in other.items():
        files[name] = put(folder, data)
    manifest["variants"]["full"]["size"] = sum(map(len, other.values()))
    path.write_text(json.dumps(manifest))
    Registry(str(folder)).load("pumps", 1)  # all fits, but nobody who is trusted has signed it
    with pytest.raises(ModelError, match="signature does not fit"):
        trusting.load("pumps", 1)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"n_trees": 4}},
        {"features": ["b", "a"]},
        {"centre": [9.0, 9.0]},
        {"scale": [9.0, 9.0]},
        {"created": "2020-01-01T00:00:00+00:00"},
        {"parent": 7},
        {"detector": "gaussian_mixture"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_no_part_of_a_signed_manifest_can_be_changed(signed, change):
    folder, trusting = signed
    path = folder / "pumps" / "versions" / "000001.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match="signature does not fit"):
        trusting.manifest("pumps", 1)
