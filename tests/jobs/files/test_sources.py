"""Bytes come from folders, archives and URLs."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from streamgauge.jobs.files.read_files import count_rows
from streamgauge.jobs.files.sources import local, name_of
from streamgauge.models.errors import InputError

from tests.jobs.files.reading import events_of

TEXT = b"x,y\n1,2\n3,4\n"


def zipped(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return path


def test_packed_files_are_read_as_they_are_unpacked(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(TEXT))
    (tmp_path / "a.csv.zst").write_bytes(pa.compress(TEXT, "zstd", asbytes=True))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"entity":"a","x":1}\n{"entity":"a","x":3}\n'))
    zipped(tmp_path / "a.csv.zip", a_csv=TEXT)
    zipped(tmp_path / "a.zip", b_csv=TEXT)
    for name in ("a.csv.gz", "a.csv.zst", "a.jsonl.gz", "a.csv.zip", "a.zip"):
        assert [event["x"] for event in events_of(tmp_path / name)] == [1, 3]
        assert {event["entity"] for event in events_of(tmp_path / name)} == {"a"}
        assert count_rows(tmp_path / name) == 2


def test_an_archive_of_several_files_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds 2 files; an archive must hold exactly one"):
        events_of(zipped(tmp_path / "a.zip", b_csv=TEXT, c_csv=TEXT))


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.zst", "a.zip"])
def test_an_archive_that_is_none_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing")
    for read in (events_of, count_rows):
        with pytest.raises(InputError, match=f"{name} cannot be read"):
            read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
@pytest.mark.parametrize(
    ("packed", "offsets", "words"),
    [
        (zipfile.ZIP_DEFLATED, [60], "decompressing"),
        (zipfile.ZIP_STORED, [60], "Bad CRC-32"),
        (zipfile.ZIP_LZMA, [60], "Corrupt|Bad CRC-32"),
        (zipfile.ZIP_BZIP2, [60], "Invalid data"),
        (zipfile.ZIP_STORED, [6, -1], "is encrypted"),  # a flag of the file, which is there twice
    ],
)
def test_a_damaged_or_encrypted_archive_is_refused(tmp_path, name, packed, offsets, words):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", packed) as archive:
        archive.writestr(name, b"".join(b'{"x": %d}\n' % number for number in range(2_000)))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    for offset in offsets:
        content[offset if offset > 0 else directory + 8] ^= 1
    (tmp_path / "a.zip").write_bytes(content)
    for read in (events_of, count_rows):
        with pytest.raises(InputError, match=rf"a\.zip cannot be read: .*({words})"):
            read(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("path", "name"),
    [("x/cards.csv.gz", "cards"), ("cards.2024.jsonl", "cards.2024"), ("cards", "cards"), ("a.zip", "a")],
)
def test_the_name_of_a_file_is_without_what_says_how_it_is_stored(path, name):
    assert name_of(Path(path)) == name


def test_a_file_at_a_url_is_a_copy_that_goes_away():
    with fsspec.open("memory://bucket/cards.csv", "wb") as file:
        file.write(TEXT)
    with local([Path("memory://bucket/cards.csv")]) as [copy]:
        assert copy.read_bytes() == TEXT
        assert name_of(copy) == "cards"
    assert not copy.exists()


def test_what_is_not_at_a_url_is_named_without_secrets():
    with (
        pytest.raises(InputError, match=r"^no such file: memory://host/nowhere\.csv$"),
        local([Path("memory://me:word@host/nowhere.csv?key=1")]),
    ):
        pass


def test_a_missing_package_is_named():
    with pytest.raises(InputError, match=r"s3://bucket/a\.csv: .*s3fs"), local([Path("s3://bucket/a.csv")]):
        pass


def test_a_folder_and_an_unknown_kind_of_url_are_named_as_what_they_are(tmp_path):
    with pytest.raises(InputError, match="is a folder: name the files in it"), local([tmp_path]):
        pass
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(InputError, match=r"a\.csv is a folder: name the files in it"):
        events_of(tmp_path / "a.csv")
    with (
        pytest.raises(InputError, match=r"^nosuch://h/a\.csv: nosuch:// is not known"),
        local([Path("nosuch://p@h/a.csv")]),
    ):
        pass


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"^no such file: nowhere\.csv$"), local([Path("nowhere.csv")]):
        pass
