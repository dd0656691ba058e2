"""The folder of the local cluster, and the errors if it cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamgauge.jobs.cluster.home import default_home, existing_or_new, writable
from streamgauge.models.errors import InputError


def test_the_environment_names_it(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMGAUGE_HOME", str(tmp_path / "mine"))
    assert default_home() == tmp_path / "mine"


def test_by_default_it_is_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("STREAMGAUGE_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_home() == tmp_path / "streamgauge"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_home() == tmp_path / ".cache" / "streamgauge"


def test_it_is_created_only_for_writing(tmp_path):
    assert existing_or_new(tmp_path / "new") == tmp_path / "new"
    assert not (tmp_path / "new").exists()
    assert writable(tmp_path / "new" / "deeper").is_dir()
    assert not list((tmp_path / "new" / "deeper").iterdir())


def test_a_relative_folder_is_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert writable(Path("a")) == tmp_path / "a"


@pytest.mark.parametrize("look", [existing_or_new, writable])
def test_a_file_is_refused(tmp_path, look):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file is a file: --home and STREAMGAUGE_HOME name a folder"):
        look(tmp_path / "file")


def test_a_folder_that_cannot_be_written_to_is_refused_with_the_reason(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write to home .*below \(Not a directory\): name another folder"):
        writable(tmp_path / "file" / "below")
