"""Where work that may be interrupted saves its state, to continue from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Unfinished:
    """Where a piece of work saves its state, to continue after an interruption. If that fails, it is told, and the work goes on.

    Attributes
    ----------
    load : callable
        Returns the saved state; None if there is none.
    save : callable
        Saves a state in place of the earlier one; None removes it.
    tell : callable
        Called with a line of text: whether the work continues or begins anew, and why.
    """

    load: Callable[[], bytes | None]
    save: Callable[[bytes | None], None]
    tell: Callable[[str], None]

    def kept(self) -> bytes | None:
        """The state that interrupted work saved; None if there is none, or if it cannot be read."""
        try:
            return self.load()
        except Exception as error:  # also what the library of a file system raises
            self.tell(f"begins anew: its saved state cannot be read: {error}")
            return None

    def keep(self, content: bytes | None) -> None:
        """Save the state of the work; None when it has ended."""
        try:
            self.save(content)
        except Exception as error:
            self.tell(f"its state cannot be saved, so it cannot continue after an interruption: {error}")
