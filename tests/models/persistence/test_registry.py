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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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
    registry.make_live("pumps", registry.before("pumps", "live"), "ann")
    assert registry.resolve("pumps", "live") == 1
    assert registry.resolve("pumps", "2") == 2
    with pytest.raises(ModelError, match=r"no alias 'canary'.*aliases: live \(1\)"):
        registry.resolve("pumps", "canary")
    with pytest.raises(ModelError, match=r"no pumps version 9 .*versions: 1, 2, 3"):
        registry.point("pumps", "live", 9)
    registry.point("pumps", "shadow", 2)
    with pytest.raises(ModelError, match="never stood for another"):
        registry.before("pumps", "shadow")
    with pytest.raises(ModelError, match="cannot be an alias"):
        registry.point("pumps", "../x", 1)
    with pytest.raises(ModelError, match="cannot be the name"):
        registry.versions("../pumps")


@pytest.mark.parametrize(
    ("live", "shadow", "version", "after"),
    [
        (1, 2, 2, 1),  # a promotion: the version before is compared with its successor
        (2, 1, 1, 1),  # a rollback: no shadow
        (1, 1, 2, 2),  # there was no shadow, and there is none
        (2, 2, 1, 1),
        (2, 3, 1, 3),  # another version is the shadow, and stays it
        (2, 1, 2, 1),  # it was live already
        (None, 2, 2, 2),
        (1, None, 2, None),
    ],
)
def test_the_alias_of_the_shadow_follows_the_live_version(url, live, shadow, version, after):
    registry = Registry(url)
    for _ in range(3):
        registry.publish(*FOREST)
    for alias, number in (("now", live), ("beside", shadow)):
        if number:
            registry.point("pumps", alias, number)
    registry.make_live("pumps", version, "ann", "better", "now", "beside")
    assert registry.aliases("pumps") == {"now": version} | ({"beside": after} if after else {})
    assert (registry.history("pumps", "now")[0]["by"], registry.history("pumps", "now")[0]["why"]) == ("ann", "better")


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


def test_what_is_no_folder_of_a_model_is_none(folder):
    """A volume that is mounted as the registry has such a folder."""
    registry = Registry(str(folder))
    registry.publish(*make_candidate("pumps", "isolation_forest", PAST, {"n_trees": 2}))
    (folder / "lost+found").mkdir()
    for file in (".DS_Store", "README.md"):
        (folder / file).touch()
    assert registry.names() == ["pumps"]


def test_the_version_that_a_rollback_goes_to_is_no_garbage(folder):
    registry = Registry(str(folder))
    for seed in range(4):
        registry.publish(*make_candidate("pumps", "isolation_forest", PAST, {"n_trees": 2, "seed": seed}))
    for version in (1, 2, 2):  # whoever promotes a version may do so twice
        registry.point("pumps", "live", version)
    registry.collect_garbage("pumps", keep=1)
    assert registry.versions("pumps") == [1, 2, 4]
    assert registry.before("pumps", "live") == 1


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


@pytest.fixture
def signing(url, key):
    """A registry with three signed versions, and an alias that stood for 1 and stands for 3."""
    path, public = key
    registry = Registry(url, (public,), path)
    for _ in range(3):
        registry.publish(*FOREST)
    registry.point("pumps", "live", 1, "ann", "first")
    registry.point("pumps", "live", 3, "ann", "better")
    return registry


def trusting(registry):
    """Another process that reads the same registry, and trusts the same keys."""
    return Registry(registry.url, registry.trusted_keys)


def file_of(registry, alias="live"):
    return registry.files.path(f"pumps/aliases/{alias}.json")


def test_a_signed_alias_moves_and_rolls_back_and_its_serial_number_grows(signing):
    reader = trusting(signing)
    assert reader.aliases("pumps") == {"live": 3}
    signing.make_live("pumps", signing.before("pumps", "live"))
    assert reader.resolve("pumps", "live") == 1
    serials = [one["serial"] for one in reader.history("pumps", "live")]
    assert serials == sorted(set(serials), reverse=True)


def test_an_alias_that_no_trusted_key_signed_is_refused_and_says_how_to_sign_it(signing):
    Registry(signing.url).point("pumps", "live", 1, "mallory")
    with pytest.raises(ModelError, match=r"'live' .* is not signed .* promote pumps 1 --to live --sign-key KEY"):
        trusting(signing).resolve("pumps", "live")
    with pytest.raises(ModelError, match=r"the alias 'live' of pumps must be signed.*--sign-key"):
        trusting(signing).point("pumps", "live", 3)
    with pytest.raises(ModelError, match=r"a version of pumps must be signed.*--sign-key"):
        trusting(signing).publish(*FOREST)
    signing.point("pumps", "live", 2)
    assert trusting(signing).resolve("pumps", "live") == 2
    assert [one["version"] for one in signing.history("pumps", "live")] == [2, 3, 1]


def test_a_signed_alias_that_never_moved_is_believed(signing):
    signing.point("pumps", "canary", 2)
    assert trusting(signing).aliases("pumps") == {"canary": 2, "live": 3}


def test_the_serial_number_grows_although_the_clock_goes_back(signing, monkeypatch):
    reader = trusting(signing)
    assert reader.resolve("pumps", "live") == 3
    monkeypatch.setattr(time, "time", lambda: 1.0)
    signing.point("pumps", "live", 2)
    assert reader.resolve("pumps", "live") == 2
    newest, before, _ = reader.history("pumps", "live")
    assert newest["serial"] == before["serial"] + 1


def test_a_version_becomes_live_and_both_aliases_are_signed_anew(signing):
    signing.point("pumps", "shadow", 2)
    reader = trusting(signing)
    assert reader.aliases("pumps") == {"live": 3, "shadow": 2}
    fs, before = signing.files.fs, signing.files.fs.cat_file(file_of(signing, "shadow"))
    signing.make_live("pumps", 2)
    assert reader.aliases("pumps") == {"live": 2, "shadow": 2}
    signing.point("pumps", "shadow", 3)
    signing.make_live("pumps", 3)
    assert reader.aliases("pumps") == {"live": 3, "shadow": 2}
    fs.pipe_file(file_of(signing, "shadow"), before)
    with pytest.raises(ModelError, match="was seen before"):
        reader.aliases("pumps")


def test_a_version_becomes_live_although_no_trusted_key_signed_the_aliases_so_far(signing):
    for alias in ("live", "shadow"):
        Registry(signing.url).point("pumps", alias, 1, "mallory")
    signing.make_live("pumps", 3)
    assert trusting(signing).resolve("pumps", "live") == 3


def test_an_older_alias_that_somebody_puts_back_is_refused_by_who_saw_the_newer_one(signing):
    reader, fs = trusting(signing), signing.files.fs
    before = fs.cat_file(file_of(signing))
    signing.point("pumps", "live", 2)
    assert reader.resolve("pumps", "live") == 2
    fs.pipe_file(file_of(signing), before)
    with pytest.raises(ModelError, match=r"serial number \d+, but \d+ was seen before"):
        reader.resolve("pumps", "live")
    signing.point("pumps", "live", 1)  # a new one counts again, although the file with the largest number is lost
    assert reader.resolve("pumps", "live") == 1


CHANGES = {
    "version": st.sampled_from([1, 2]),
    "serial": st.integers(0, 2**62),
    "at": st.text(max_size=5),
    "by": st.text(max_size=5),
    "why": st.text(max_size=5),
    "key": st.text(max_size=5),
    "signature": st.text(max_size=5),
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(CHANGES)))
def test_no_change_of_a_signed_alias_is_believed(signing, data, name):
    fs, path = signing.files.fs, file_of(signing)
    whole = fs.cat_file(path)
    entries = json.loads(whole)
    value = data.draw(CHANGES[name].filter(lambda value: value != entries[0][name]))
    fs.pipe_file(path, json.dumps([entries[0] | {name: value}, *entries[1:]]).encode())
    try:
        with pytest.raises(ModelError, match="is not signed"):
            trusting(signing).resolve("pumps", "live")
    finally:
        fs.pipe_file(path, whole)


def test_an_entry_of_another_alias_or_model_is_not_believed(signing):
    signing.point("pumps", "candidate", 2)
    fs = signing.files.fs
    fs.pipe_file(file_of(signing), fs.cat_file(file_of(signing, "candidate")))
    with pytest.raises(ModelError, match="is not signed"):
        trusting(signing).resolve("pumps", "live")


def test_a_registry_that_cannot_be_opened_is_named():
    with pytest.raises(ModelError, match="'nonsense://x' cannot be opened"):
        Registry("nonsense://x")
