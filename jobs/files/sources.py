"""Where the bytes of a file come from: a folder, an archive, or a URL."""

from __future__ import annotations

import lzma
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import fsspec
import pyarrow as pa
from streamgauge.models.errors import InputError

CODECS = {".gz": "gzip", ".zst": "zstd"}
KINDS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".tsv": "csv"}
BLOCK = 1 << 20
# A command line gives paths, and a path has no two slashes in a row: s3://bucket/a.csv arrives as s3:/bucket/a.csv.
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.DOTALL)


def name_of(path: Path) -> str:
    """The name of a file without the ends that say what it holds: cards for cards.csv.gz."""
    name = path.with_suffix("") if path.suffix.lower() in (*CODECS, ".zip") else path
    return name.stem if name.suffix.lower() in KINDS else name.name


def is_jsonl(path: Path) -> bool:
    """Whether the name of a file, which need not be there, says that it holds JSONL."""
    return any(KINDS.get(suffix.lower()) == "jsonl" for suffix in path.suffixes[-2:])


def kind_of(path: Path) -> str:
    """What a file holds: csv, jsonl or parquet.

    Raises
    ------
    InputError
        There is no such file, or the end of its name is not known.
    """
    if not path.is_file():
        raise _no_file(path)
    name = path.with_suffix("") if path.suffix.lower() in CODECS else path
    if path.suffix.lower() == ".zip":
        name = Path(_member(path))
    suffix = name.suffix.lower()
    if suffix not in KINDS:
        allowed = f"{', '.join(KINDS)}, also with {', '.join(CODECS)} or .zip behind it"
        raise InputError(f"{path}: {suffix or 'no suffix'} is not known; allowed: {allowed}")
    return KINDS[suffix]


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The bytes of a file, unpacked, as a binary file.

    Raises
    ------
    InputError
        An archive is damaged, or packed or encrypted in a way that is not read.
    """
    if path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as archive, _unpacked(path, archive) as file:
                yield file
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"{path} cannot be read: {error}") from error
    else:
        with pa.input_stream(str(path), compression=CODECS.get(path.suffix.lower())) as file:
            yield file


def blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, unpacked, a block at a time."""
    with opened(path) as file:
        yield from iter(lambda: file.read(BLOCK), b"")


def _unpacked(path: Path, archive: zipfile.ZipFile) -> Any:
    """The only file in an archive, as a binary file."""
    try:
        return archive.open(_member(path))
    except RuntimeError as error:  # it is encrypted, or packed in another way
        raise InputError(f"{path} cannot be read: {error}") from error


def _member(path: Path) -> str:
    """The only file in an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
    except zipfile.BadZipFile as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if len(names) != 1:
        raise InputError(f"{path} holds {len(names)} files; an archive must hold exactly one")
    return names[0]


@contextmanager
def local(paths: list[Path]) -> Iterator[list[Path]]:
    """The files, those at URLs as copies that exist until the context ends.

    Parameters
    ----------
    paths : list of Path
        A URL, such as s3://bucket/cards.csv, is allowed for a path.

    Raises
    ------
    InputError
        A file is not there or cannot be fetched.
    """
    with tempfile.TemporaryDirectory(prefix="streamgauge-") as folder:
        found = []
        for number, path in enumerate(paths):
            url = None if path.exists() else _URL.fullmatch(str(path))
            file = path if url is None else _fetched(url[1], url[2], Path(folder) / str(number))
            if not file.is_file():
                raise _no_file(path)
            found.append(file)
        yield found


def _no_file(path: Path) -> InputError:
    return InputError(f"{path} is a folder: name the files in it" if path.is_dir() else f"no such file: {path}")


def _fetched(scheme: str, rest: str, folder: Path) -> Path:
    """A copy of what is at a URL. Messages leave out what may be secret: the user's name, the password and the query."""
    url = f"{scheme}://{'/' * (scheme == 'file')}{rest}"
    parts = urlsplit(url)
    shown = f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if scheme not in fsspec.available_protocols():
        raise InputError(f"{shown}: {scheme}:// is not known; s3://, gs://, https:// and others are")
    copy = folder / (PurePosixPath(parts.path).name or "file")
    folder.mkdir()
    try:
        files, place = fsspec.core.url_to_fs(url)
        files.get_file(place, str(copy))
    except ImportError as error:
        raise InputError(f"{shown}: files at {scheme}:// need another package: {error}") from error
    except FileNotFoundError as error:
        raise InputError(f"no such file: {shown}") from error
    except Exception as error:  # each file system has its own errors; their texts may hold the whole URL
        raise InputError(f"{shown} cannot be fetched ({type(error).__name__})") from error
    return copy
