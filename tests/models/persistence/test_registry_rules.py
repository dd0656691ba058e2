"""What a registry says, keeps, and refuses, beyond the way of a version that is good."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from streamgauge.models.errors import ModelError, StateError
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.models.persistence.registry import Registry, _any_events
from streamgauge.models.training.candidate import Past, make_candidate

X = np.random.default_rng(0).normal(size=(300, 2))
MADE = make_candidate(
    "pumps",
    "isolation_forest",
    Past(X, ["a", "b"], np.zeros(300, np.int64), source="test", licence="CC0-1.0"),
    {"n_trees": 2},
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def registry(folder):
    filled = Registry(str(folder))
    filled.publish(*MADE)
    return filled


def changed(folder, change):
    """Rewrite the manifest of the first version."""
    path = folder / "pumps" / "versions" / "000001.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_a_slash_at_the_end_of_the_url_does_not_matter(folder, registry):
    assert Registry(f"{folder}/").versions("pumps") == registry.versions("pumps") == [1]


def test_an_error_names_what_there_is(registry):
    with pytest.raises(ModelError, match=r"there is no fans version 3 in .*; versions: none$"):
        registry.manifest("fans", 3)
    with pytest.raises(ModelError, match=r"pumps has no alias 'live' in .*; aliases: none$"):
        registry.resolve("pumps", "live")
    registry.point("pumps", "canary", 1)
    registry.point("pumps", "shadow", 1)
    with pytest.raises(ModelError, match=r"aliases: canary \(1\), shadow \(1\)$"):
        registry.resolve("pumps", "live")
    with pytest.raises(ModelError, match=r"pumps version 1 has no variant 'tiny'; it has: full$"):
        registry.load("pumps", 1, "tiny")


def test_the_name_of_a_model_is_told_to_its_last_letter(registry):
    registry.publish(MADE[0].model_copy(update={"name": "boilerX"}), MADE[1])
    assert registry.names() == ["boilerX", "pumps"]


def test_an_alias_tells_when_by_whom_and_why_it_moved(registry):
    registry.point("pumps", "live", 1, "ann", "first")
    [entry] = registry.history("pumps", "live")
    assert (entry["by"], entry["why"], entry["at"][-6:]) == ("ann", "first", "+00:00")
    registry.point("pumps", "live", 1)
    newest, _ = registry.history("pumps", "live")
    assert (newest["by"], newest["why"]) == ("", "")
    registry.drop("pumps", "live")
    registry.drop("pumps", "live")
    assert registry.aliases("pumps") == {}


def test_a_waiting_request_is_kept_replaced_and_removed(registry):
    assert registry.waiting("pumps") is None
    registry.keep_waiting("pumps", None)
    for request in ({"version": 1}, {"version": 2, "why": "inputs"}):
        registry.keep_waiting("pumps", request)
        assert registry.waiting("pumps") == request
    registry.keep_waiting("pumps", None)
    assert registry.waiting("pumps") is None


def test_a_digest_that_leads_out_of_the_folder_is_no_file(folder, registry):
    """The file is there, and would be read: a path of the machine must not become a model's content."""
    (folder / "secret").write_text("x")
    files = folder / "pumps" / "files"
    for digest in ("../../secret", str(files / "x"), "x" * 64, "A" * 64, "0" * 65):
        if "/" not in digest:
            (files / digest).write_text("x")
        changed(folder, lambda m, d=digest: m["variants"]["full"]["files"].update({"arrays.bin": d}))
        with pytest.raises(ModelError, match=r"arrays\.bin: the file is missing"):
            registry.load("pumps", 1)


def test_all_files_together_have_the_size_that_the_manifest_states(folder, registry):
    size = registry.manifest("pumps", 1).variants["full"].size
    registry.load("pumps", 1)
    changed(folder, lambda m: m["variants"]["full"].update(size=size - 1))
    with pytest.raises(ModelError, match=r"has \d+ bytes, it may have \d+"):
        registry.load("pumps", 1)


def test_a_half_written_file_lies_where_it_will_be_even_on_another_file_system(folder, registry, monkeypatch):
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == folder.stat().st_dev:
        pytest.skip("there is no second file system")
    monkeypatch.chdir(elsewhere)
    assert registry.publish(*MADE).version == 2
    assert not list(folder.rglob("*.part"))


def test_a_version_whose_manifest_names_no_calibrator_is_refused(folder, registry):
    changed(folder, lambda m: m["variants"]["full"]["files"].pop("calibrator.bin"))
    with pytest.raises(ModelError, match="pumps version 1: this is no tail_calibrator state"):
        registry.load("pumps", 1)


def test_the_five_newest_versions_are_no_garbage(registry):
    for _ in range(4):
        registry.publish(*MADE)
    assert registry.collect_garbage("pumps") == []
    for _ in range(2):
        registry.publish(*MADE)
    assert len(registry.collect_garbage("pumps")) == 2
    assert registry.versions("pumps") == [3, 4, 5, 6, 7]


def test_no_file_is_garbage_while_a_manifest_cannot_be_read(folder, registry):
    files = sorted((folder / "pumps" / "files").iterdir())
    (folder / "pumps" / "versions" / "000001.json").write_text("{")
    with pytest.raises(ModelError, match="pumps version 1"):
        registry.collect_garbage("pumps")
    assert sorted((folder / "pumps" / "files").iterdir()) == files


@pytest.mark.parametrize(("steps", "shape"), [(1, (1, 2)), (2, (1, 2, 2)), (3, (1, 3, 2))])
def test_networks_are_tried_on_usual_values_in_so_many_steps_as_they_look_at(registry, steps, shape):
    manifest = registry.manifest("pumps", 1).model_copy(update={"steps": steps, "centre": [3.0, 4.0]})
    events = _any_events(manifest)
    assert (events.dtype, events.shape) == (np.float64, shape)
    assert (events == [3.0, 4.0]).all()


@pytest.mark.parametrize("lost", ["signature", "key"])
def test_a_manifest_that_lost_its_signature_or_its_key_is_not_signed(folder, registry, lost):
    changed(folder, lambda m: m.update({"signature": "AA==", "key": "AA=="} | {lost: None}))
    with pytest.raises(ModelError, match="pumps version 1 is not signed"):
        Registry(str(folder), ("AA==",)).manifest("pumps", 1)


def test_what_is_signed_depends_neither_on_the_order_of_keys_nor_on_values_that_are_missing(folder, registry):
    before = registry.manifest("pumps", 1).signed_part()

    def turned(value):
        return {key: turned(value[key]) for key in reversed(value)} if isinstance(value, dict) else value

    path = folder / "pumps" / "versions" / "000001.json"
    path.write_text(json.dumps(turned(json.loads(path.read_text())), indent=3))
    assert registry.manifest("pumps", 1).signed_part() == before
    assert b'"parent"' not in before  # a field that a later release adds must not make an old signature wrong
    assert b'"signature"' not in before


def test_a_state_of_records_comes_back_as_it_was():
    records = np.zeros(3, [("place", "<i8"), ("score", "<f8"), ("history", "<f8", (2,))])
    records["place"], records["history"][1] = [1, 2, 3], [4.0, 5.0]
    _, arrays = unpack(pack("x", 1, {}, {"records": records, "after": np.arange(4)}), "x", 1)
    assert arrays["records"].dtype == records.dtype
    np.testing.assert_array_equal(arrays["records"], records)
    np.testing.assert_array_equal(arrays["after"], np.arange(4))


def test_a_state_with_an_array_that_is_no_plain_memory_names_its_kind():
    state = pack("x", 1, {}, {"a": np.array(["2026-01-01"], "M8[D]")})
    with pytest.raises(StateError, match=r"the x state holds an array of type datetime64\[D\], which is not allowed"):
        unpack(state, "x", 1)
