"""Which version of a model has which role: the aliases in the registry, and what the jobs are told of them."""

from __future__ import annotations

from typing import Literal

from streamgauge.jobs.retraining.topics import TrainerTopics
from streamgauge.models.persistence.registry import Registry
from streamgauge.udfs.control.messages import ModelVersion

LIVE: Literal["live"] = "live"  # aliases
SHADOW: Literal["shadow"] = "shadow"
CANARY: Literal["canary"] = "canary"
FROZEN = "frozen"
BY = "trainer"  # who moves the aliases, in their history


class Roles:
    """Gives roles to versions. The alias is changed first, and then the jobs are told, so a kill between the two loses nothing.

    Parameters
    ----------
    registry : Registry
    topics : TrainerTopics
    share : float
        Share of the entities for which a canary counts.
    """

    def __init__(self, registry: Registry, topics: TrainerTopics, share: float) -> None:
        self.registry, self.topics, self.share = registry, topics, share

    def assign(self, name: str, role: Literal["shadow", "canary"], version: int, why: str) -> None:
        """Let a version be the shadow, or the canary: a shadow that counts for some entities."""
        self.registry.point(name, role, version, BY, why)
        self._send(name, SHADOW)

    def make_live(self, name: str, version: int, why: str) -> None:
        """Make a version live: a promotion, or a rollback (`Registry.make_live`). The aliases are changed before the jobs are told."""
        self.registry.make_live(name, version, BY, why)
        self.registry.drop(name, CANARY)  # or the same version would count at once if it became the shadow again
        self.send_again(name)

    def remove_shadow(self, name: str) -> None:
        """Remove the shadow: its alias then names the live version."""
        self.registry.point(name, SHADOW, self.registry.aliases(name)[LIVE], BY, "no shadow")
        self.registry.drop(name, CANARY)
        self._send(name, SHADOW)

    def send_again(self, name: str) -> None:
        """Tell the jobs the roles that the aliases name. The trainer may have been killed after it changed an alias."""
        self._send(name, LIVE, SHADOW)

    def _send(self, name: str, *roles: str) -> None:
        for message in role_messages(self.registry, name, self.share):
            if message.role in roles:
                self.topics.send(message)


def role_messages(
    registry: Registry, name: str, share: float, live: str = LIVE, shadow: str = SHADOW
) -> list[ModelVersion]:
    """What tells the jobs which version is live, and which is its shadow, as far as there are aliases.

    Parameters
    ----------
    registry : Registry
    name : str
    share : float
        Share of the entities for which a canary counts.
    live, shadow : str
        The aliases. There is no shadow if its alias names the live version.
    """
    named = {alias: registry.history(name, alias)[:1] for alias in (live, shadow, CANARY) if not alias.isdecimal()}
    aliases = {alias: entry["version"] for alias, entries in named.items() for entry in entries}
    messages = []
    if live in aliases:
        messages.append(ModelVersion(type="model", model=name, role=LIVE, version=aliases[live]))
    if shadow in aliases:
        version = None if aliases[shadow] == aliases.get(live) else aliases[shadow]
        counts = share if version is not None and aliases.get(CANARY) == version else 0.0
        messages.append(ModelVersion(type="model", model=name, role=SHADOW, version=version, share=counts))
    return messages
