"""The state of an interrupted training is kept beside the versions of its model: in one step, and signed where keys are trusted."""

from __future__ import annotations

import time

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from streamgauge.models.persistence import registry as registry_module
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.persistence.signature import public_text
from streamgauge.models.training.candidate import Past, make_candidate

X = np.random.default_rng(0).normal(size=(400, 3))
PAST = Past(X, ["a", "b", "c"], np.zeros(len(X), np.int64))


@pytest.fixture(params=["file", "memory"])
def url(request, tmp_path):
    return str(tmp_path / "models") if request.param == "file" else f"memory://kept-{tmp_path.name}-{time.time_ns()}"


def place(registry, said, name="pumps", what="autoencoder"):
    return registry.unfinished(name, what, said.append)


def test_what_is_kept_is_read_back_and_replaced_and_removed(url):
    said = []
    one = place(Registry(url), said)
    assert one.kept() is None
    for content in (b"\n\x00first", b"second\n"):
        one.keep(content)
        assert place(Registry(url), said).kept() == content
    assert place(Registry(url), said, what="temporal_cnn").kept() is None
    one.keep(None)
    one.keep(None)
    assert (one.kept(), said) == (None, [])


def test_only_one_file_is_left_in_a_folder_and_it_is_no_version(tmp_path):
    registry = Registry(str(tmp_path))
    place(registry, []).keep(b"first")
    place(registry, []).keep(b"second")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [
        "pumps/unfinished/autoencoder"
    ]
    assert (registry.versions("pumps"), registry.aliases("pumps")) == ([], {})


def key_file(folder, name):
    key = Ed25519PrivateKey.generate()
    (folder / name).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / name, public_text(key)


def test_where_keys_are_trusted_only_what_was_signed_for_this_training_is_used(tmp_path):
    (mine, public), (other, _) = key_file(tmp_path, "mine.pem"), key_file(tmp_path, "other.pem")
    url, said = str(tmp_path / "models"), []
    trusting = Registry(url, (public,), mine)
    place(trusting, said).keep(b"content")
    assert place(trusting, said).kept() == b"content"
    kept = tmp_path / "models" / "pumps" / "unfinished" / "autoencoder"
    signed = kept.read_bytes()
    (kept.parent / "temporal_cnn").write_bytes(signed)
    assert place(trusting, said, what="temporal_cnn").kept() is None
    place(Registry(url, sign_key=other), said).keep(b"content")
    assert place(trusting, said).kept() is None
    for changed in (signed + b"x", b"\ncontent", b"", b"\xff" + signed):
        kept.write_bytes(changed)
        assert place(trusting, said).kept() is None
    assert len(said) == 6
    assert all("is not signed by one of models.trusted_keys" in line for line in said)


def test_without_the_key_nothing_is_kept_where_keys_are_trusted(tmp_path):
    _, public = key_file(tmp_path, "mine.pem")
    said = []
    place(Registry(str(tmp_path / "models"), (public,)), said).keep(b"content")
    assert "name a key with --sign-key" in said[0]
    assert not (tmp_path / "models").exists()


def test_garbage_collection_removes_what_was_not_continued_for_an_hour(url, monkeypatch):
    registry = Registry(url)
    registry.publish(*make_candidate("pumps", "isolation_forest", PAST, {"n_trees": 3}))
    place(registry, []).keep(b"content")
    assert registry.collect_garbage("pumps") == []
    monkeypatch.setattr(registry_module, "GRACE", -1.0)
    assert registry.collect_garbage("pumps") == ["pumps/unfinished/autoencoder"]
    assert place(registry, []).kept() is None
