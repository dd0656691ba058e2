"""Work that may be interrupted: where it keeps what continues it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Unfinished:
    """Where a piece of work keeps what continues it after it was interrupted. That this fails is told, and does not end the work.

    Attributes
    ----------
    load : callable
        Returns what is kept; None if there is nothing.
    save : callable
        Keeps bytes in place of the earlier ones; None removes them.
    tell : callable
        Called with a line of text: whether the work continues or begins anew, and why.
    """

    load: Callable[[], bytes | None]
    save: Callable[[bytes | None], None]
    tell: Callable[[str], None]

    def kept(self) -> bytes | None:
        """What an interrupted work kept; None if there is nothing, or if it cannot be read."""
        try:
            return self.load()
        except Exception as error:  # also what the library of a file system raises
            self.tell(f"begins anew: what was kept cannot be read: {error}")
            return None

    def keep(self, content: bytes | None) -> None:
        """Keep what continues the work from here; None when it has ended."""
        try:
            self.save(content)
        except Exception as error:
            self.tell(f"what continues it after an interruption cannot be written: {error}")
