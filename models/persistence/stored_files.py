"""Files below a folder, on any file system that fsspec knows. Each is put there in one step, so that nobody reads half of it."""

from __future__ import annotations

import os
import uuid

import fsspec
from fsspec.implementations.local import LocalFileSystem
from streamgauge.models.errors import ModelError

MOST_TEXT = 20_000_000  # bytes of a manifest, an alias or a waiting request


class StoredFiles:
    """Files below a folder.

    Parameters
    ----------
    url : str
        A folder, or any URL of fsspec's.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._fs, root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise ModelError(f"the registry {url!r} cannot be opened: {error}") from error
        self._root = root.rstrip("/")

    def _path(self, below: str) -> str:
        return f"{self._root}/{below}" if below else self._root

    def _listed(self, below: str) -> list[str]:
        self._fs.invalidate_cache()
        try:
            return sorted(path.rstrip("/").rsplit("/", 1)[1] for path in self._fs.ls(self._path(below), detail=False))
        except FileNotFoundError:
            return []

    def _read(self, below: str, most: int = MOST_TEXT) -> bytes | None:
        """The bytes of a file; None if there is none. ModelError if there are more than `most`."""
        path = self._path(below)
        try:
            if (size := self._fs.size(path) or 0) > most:
                raise ModelError(f"{below} in {self.url} has {size} bytes, it may have {most}")
            return bytes(self._fs.cat_file(path))
        except FileNotFoundError:
            return None

    def _write(self, below: str, data: bytes) -> None:
        """Put a file there in one step."""
        path = self._path(below)
        if not isinstance(self._fs, LocalFileSystem):
            self._fs.pipe_file(path, data)
            return
        part = self._part(path, data)
        os.replace(part, path)

    def _create(self, below: str, data: bytes) -> bool:
        """Put a file there in one step, unless there is one already."""
        path = self._path(below)
        try:
            if isinstance(self._fs, LocalFileSystem):
                part = self._part(path, data)
                try:
                    os.link(part, path)
                finally:
                    os.unlink(part)
            else:
                self._fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        return True

    def _remove(self, below: str) -> None:
        """Remove a file, if there is one."""
        if self._fs.exists(self._path(below)):
            self._fs.rm_file(self._path(below))

    def _part(self, path: str, data: bytes) -> str:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        part = os.path.join(os.path.dirname(path), f".{uuid.uuid4().hex}.part")
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return part
