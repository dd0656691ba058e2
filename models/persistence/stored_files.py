"""Files below a folder, on any file system that fsspec knows. Each is put there in one step, so that nobody reads half of it."""

from __future__ import annotations

import os
import time
import uuid

import fsspec
from fsspec.implementations.local import LocalFileSystem
from streamgauge.models.errors import ModelError

MOST_TEXT = 20_000_000  # bytes of a manifest, an alias or a waiting request


def without_secrets(url: str) -> str:
    """A URL as messages show it: without user, password and query. A path of a folder is shown as it is."""
    if "://" not in url:
        return url
    scheme, _, rest = url.partition("://")
    place = rest.partition("?")[0]
    host, slash, path = place.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


class StoredFiles:
    """Files below a folder. Each is named by its path below it, as in ``pumps/aliases/live.json``.

    Parameters
    ----------
    url : str
        A folder, or any URL of fsspec's.

    Attributes
    ----------
    url : str
        As messages show it, without secrets.
    fs : fsspec.AbstractFileSystem

    Raises
    ------
    ModelError
        The URL is of no file system that is known.
    """

    def __init__(self, url: str) -> None:
        self.url = without_secrets(url)
        try:
            self.fs, root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise ModelError(
                f"the registry {self.url!r} cannot be opened: {str(error).replace(url, self.url)}"
            ) from None
        self._root = root.rstrip("/")

    def path(self, below: str) -> str:
        """The path of a file in its file system."""
        return f"{self._root}/{below}" if below else self._root

    def listed(self, below: str) -> list[str]:
        """Names of what a folder holds, in order; none if there is no such folder."""
        self.fs.invalidate_cache()
        try:
            return sorted(path.rstrip("/").rsplit("/", 1)[1] for path in self.fs.ls(self.path(below), detail=False))
        except FileNotFoundError:
            return []

    def read(self, below: str, most: int = MOST_TEXT) -> bytes | None:
        """The bytes of a file; None if there is none. ModelError if there are more than `most`."""
        path = self.path(below)
        try:
            if (size := self.fs.size(path) or 0) > most:
                raise ModelError(f"{below} in {self.url} has {size} bytes, it may have {most}")
            return bytes(self.fs.cat_file(path))
        except FileNotFoundError:
            return None

    def write(self, below: str, data: bytes) -> None:
        """Put a file there in one step."""
        path = self.path(below)
        if not isinstance(self.fs, LocalFileSystem):
            self.fs.pipe_file(path, data)
            return
        part = self._part(path, data)
        os.replace(part, path)

    def create(self, below: str, data: bytes) -> bool:
        """Put a file there in one step, unless there is one already."""
        path = self.path(below)
        try:
            if isinstance(self.fs, LocalFileSystem):
                part = self._part(path, data)
                try:
                    os.link(part, path)
                finally:
                    os.unlink(part)
            else:
                self.fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        return True

    def is_folder(self, below: str) -> bool:
        """Whether there is such a folder."""
        return bool(self.fs.isdir(self.path(below)))

    def exists(self, below: str) -> bool:
        """Whether there is such a file."""
        return bool(self.fs.exists(self.path(below)))

    def age(self, below: str) -> float:
        """Seconds since a file was written."""
        return float(time.time() - self.fs.modified(self.path(below)).timestamp())

    def remove(self, below: str) -> None:
        """Remove a file, if there is one."""
        if self.exists(below):
            self.fs.rm_file(self.path(below))

    def _part(self, path: str, data: bytes) -> str:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        part = os.path.join(os.path.dirname(path), f".{uuid.uuid4().hex}.part")
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return part
