"""Which topics hold the events of a job. Flink's own thread imports this module, so it imports no numerical library (docs/adr/002)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

MOST_NAMES = 16  # of topics; a pattern takes more


@dataclass(frozen=True, slots=True)
class EventTopics:
    """The topics with the events of a job: names, or a pattern that names must match.

    Attributes
    ----------
    names : tuple of str
        Empty if there is a pattern.
    pattern : str
        A regular expression that Java and Python read alike; a name must match it from its beginning to its end. Empty if there are
        names.
    """

    names: tuple[str, ...] = ("events",)
    pattern: str = ""

    @property
    def several(self) -> bool:
        """Whether there may be more than one topic."""
        return len(self.names) != 1

    @property
    def first(self) -> str:
        """The topic whose partitions have no topic in the keys of saved state; empty if there is a pattern."""
        return self.names[0] if self.names else ""

    @property
    def text(self) -> str:
        """The topics as a part of a URI: the names with commas, or the pattern."""
        return ",".join(self.names) or quote(self.pattern, safe="")

    def matches(self, topic: str) -> bool:
        """Whether a topic is one of them."""
        return topic in self.names or bool(self.pattern and re.fullmatch(self.pattern, topic))
