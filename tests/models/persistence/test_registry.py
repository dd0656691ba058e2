"""The registry: immutable versions, movable aliases, nothing half-written, nothing that was changed, no code."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from streamgauge.models.errors import ModelError
from streamgauge.models.persistence import registry as registry_module
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past, make_candidate

random = np.random.default_rng(0)
PAST = Past(random.normal(size=(400, 3)), ["a", "b", "c"], np.zeros(400, np.int64), source="test", licence="CC0-1.0")
FOREST = make_candidate("pumps", "isolation_forest", PAST, {"n_trees": 5})
MEMORY = "memory://models"


@pytest.fixture(params=["file", "memory"])
def url(request, tmp_path):
    return str(tmp_path / "models") if request.param == "file" else f"{MEMORY}-{tmp_path.name}-{time.time_ns()}"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def key(tmp_path):
    private = Ed25519PrivateKey.generate()
    path = tmp_path / "key.pem"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path, base64.b64encode(private.public_key().public_bytes_raw()).decode()


def test_a_published_version_is_read_back_as_it_was(url):
    registry = Registry(url)
    assert registry.names() == []
    published = registry.publish(*FOREST)
    assert (published.version, registry.names(), registry.versions("pumps")) == (1, ["pumps"], [1])
    loaded = registry.load("pumps", 1)
    assert loaded.manifest == published
    assert loaded.manifest.features == ["a", "b", "c"]
    assert loaded.manifest.history.licence == "CC0-1.0"
    assert loaded.manifest.libraries["numpy"] == np.__version__
    assert loaded.calibrator.learned == 100
    files = FOREST[1]["full"][0]
    expected = type(loaded.detector).from_files(files).score_many(PAST.X)
    np.testing.assert_array_equal(loaded.detector.score_many(PAST.X), expected)


def test_aliases_move_remember_and_roll_back(url):
    registry = Registry(url)
    for _ in range(3):
        registry.publish(*FOREST)
    registry.point("pumps", "live", 1, "ann", "first")
    registry.point("pumps", "live", 3, "ann", "better")
    assert registry.aliases("pumps") == {"live": 3}
    assert [one["version"] for one in registry.history("pumps", "live")] == [3, 1]
    assert registry.rollback("pumps", "live", "ann") == 1
    assert registry.resolve("pumps", "live") == 1
    assert registry.resolve("pumps", "2") == 2
    with pytest.raises(ModelError, match=r"no alias 'canary'.*aliases: live \(1\)"):
        registry.resolve("pumps", "canary")
    with pytest.raises(ModelError, match=r"no pumps version 9 .*versions: 1, 2, 3"):
        registry.point("pumps", "live", 9)
    registry.point("pumps", "shadow", 2)
    with pytest.raises(ModelError, match="never stood for another"):
        registry.rollback("pumps", "shadow")
    with pytest.raises(ModelError, match="cannot be an alias"):
        registry.point("pumps", "../x", 1)
    with pytest.raises(ModelError, match="cannot be the name"):
        registry.versions("../pumps")


def test_garbage_is_what_no_alias_needs_and_nobody_names(folder, monkeypatch):
    registry = Registry(str(folder))
    for seed in range(5):
        registry.publish(*make_candidate("pumps", "isolation_forest", PAST, {"n_trees": 2, "seed": seed}))
    registry.point("pumps", "live", 1)
    before = len(list((folder / "pumps" / "files").iterdir()))
    deleted = registry.collect_garbage("pumps", keep=2)
    assert registry.versions("pumps") == [1, 4, 5]
    assert len([d for d in deleted if "versions" in d]) == 2
    assert len(list((folder / "pumps" / "files").iterdir())) == before  # too young: a writer may not have finished
    monkeypatch.setattr(registry_module, "GRACE", -1.0)
    registry.collect_garbage("pumps", keep=2)
    assert 0 < len(list((folder / "pumps" / "files").iterdir())) < before
    for version in registry.versions("pumps"):
        registry.verify("pumps", version)


def test_writers_side_by_side_get_versions_of_their_own_and_readers_never_see_half_of_one(folder):
    registry = Registry(str(folder))
    wrong: list[Exception] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                for version in registry.versions("pumps"):
                    registry.load("pumps", version)
            except Exception as error:
                wrong.append(error)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=lambda: Registry(str(folder)).publish(*FOREST)) for _ in range(12)]
    reader.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert wrong == []
    assert registry.versions("pumps") == list(range(1, 13))
    assert not list(folder.rglob("*.part"))


def _manifest(folder: Path) -> Path:
    return folder / "pumps" / "versions" / "000001.json"


def _changed(folder: Path, **changes: object) -> None:
    path = _manifest(folder)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "format 2, this code reads 1: upgrade"),
        ({"detector": "clairvoyant"}, "does not know: upgrade"),
        ({"detector": "gan"}, r"is a gan, which was removed .*: train gaussian_mixture or autoencoder instead"),
        ({"features": ["a", "b"]}, "centre has 3 entries for 2 features"),
        ({"version": 7}, "is that of pumps version 7"),
        ({"evidence": 1}, "damaged: evidence"),
        ({"settings": {"n_trees": 100_000_000}}, "would take .* MB, a model may take 500 MB"),
        ({"variants": {}}, "no variant 'full'"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(folder, changes, words):
    registry = Registry(str(folder))
    registry.publish(*FOREST)
    _changed(folder, **changes)
    with pytest.raises(ModelError, match=words):
        registry.load("pumps", 1)


def test_files_that_were_changed_or_lost_are_refused_and_a_damaged_manifest_too(folder):
    registry = Registry(str(folder))
    registry.publish(*FOREST)
    file = next(iter((folder / "pumps" / "files").iterdir()))
    data = file.read_bytes()
    file.write_bytes(data[:-1] + b"x")
    with pytest.raises(ModelError, match="was changed"):
        registry.load("pumps", 1)
    file.unlink()
    with pytest.raises(ModelError, match="is missing"):
        registry.load("pumps", 1)
    _manifest(folder).write_text("{")
    with pytest.raises(ModelError, match="damaged"):
        registry.manifest("pumps", 1)


class _Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_a_file_that_holds_code_is_refused_and_not_run(folder, monkeypatch, tmp_path):
    """Even where the manifest fits it: whoever may write the registry must not be able to run anything in the job."""
    import hashlib
    import pickle

    monkeypatch.chdir(tmp_path)
    registry = Registry(str(folder))
    manifest, variants = FOREST
    bomb = pickle.dumps(_Bomb())
    for file in variants["full"][0]:
        files = variants["full"][0] | {file: bomb}
        version = registry.publish(manifest, {"full": (files, {})}).version
        assert hashlib.sha256(bomb).hexdigest() in registry.manifest("pumps", version).variants["full"].files.values()
        with pytest.raises(ModelError):
            registry.load("pumps", version)
    assert not (tmp_path / "exploded").exists()


def test_signatures_are_demanded_where_keys_are_trusted(folder, key, tmp_path):
    path, public = key
    registry = Registry(str(folder))
    registry.publish(*FOREST)
    trusting = Registry(str(folder), (public,))
    with pytest.raises(ModelError, match="is not signed"):
        trusting.load("pumps", 1)
    registry.publish(*FOREST, sign_key=path)
    trusting.load("pumps", 2)
    other = base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    with pytest.raises(ModelError, match="none of the trusted ones"):
        Registry(str(folder), (other,)).load("pumps", 2)
    manifest = folder / "pumps" / "versions" / "000002.json"
    manifest.write_text(manifest.read_text().replace('"seed": 42', '"seed": 43'))
    with pytest.raises(ModelError, match="signature does not fit"):
        trusting.load("pumps", 2)
    (tmp_path / "no.pem").write_text("no key")
    with pytest.raises(ModelError, match="openssl genpkey"):
        registry.publish(*FOREST, sign_key=tmp_path / "no.pem")


def test_a_registry_that_cannot_be_opened_is_named():
    with pytest.raises(ModelError, match="'nonsense://x' cannot be opened"):
        Registry("nonsense://x")
