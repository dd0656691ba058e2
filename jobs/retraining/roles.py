"""Which version of a model has which role: the aliases in the registry, and what the jobs are told of them."""

from __future__ import annotations

from typing import Literal

from streamgauge.jobs.retraining.topics import TrainerTopics
from streamgauge.models.persistence.registry import Registry
from streamgauge.udfs.control.messages import ModelVersion

CANARY: Literal["canary"] = "canary"  # aliases
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

    def assign(self, name: str, role: Literal["live", "shadow", "canary"], version: int, why: str) -> None:
        """Give a role to a version. A canary is a shadow that counts for some entities."""
        self.registry.point(name, role, version, BY, why)
        if role == "live":
            self.topics.send(ModelVersion(type="model", model=name, role=role, version=version))
        else:
            self._send_shadow(name, version, role == CANARY)

    def promote(self, name: str, live: int, shadow: int, why: str) -> None:
        """Let the shadow be live, and the version that was live its shadow.

        Both aliases are changed before the jobs are told, and that of the live version last: a new version is never live without the one
        to which it can be rolled back.
        """
        self.registry.point(name, "shadow", live, BY, "compared with its successor")
        self.registry.point(name, "live", shadow, BY, why)
        self.send_again(name)

    def remove_shadow(self, name: str) -> None:
        """Remove the shadow: its alias then names the live version."""
        self.registry.point(name, "shadow", self.registry.aliases(name)["live"], BY, "no shadow")
        self._send_shadow(name, None)

    def send_again(self, name: str) -> None:
        """Tell the jobs the roles that the aliases name. The trainer may have been killed after it changed an alias."""
        aliases = self.registry.aliases(name)
        live, shadow = aliases.get("live"), aliases.get("shadow")
        if live is not None:
            self.topics.send(ModelVersion(type="model", model=name, role="live", version=live))
        if shadow is not None:
            self._send_shadow(name, None if shadow == live else shadow, aliases.get(CANARY) == shadow)

    def _send_shadow(self, name: str, version: int | None, canary: bool = False) -> None:
        share = self.share if canary and version is not None else 0.0
        self.topics.send(ModelVersion(type="model", model=name, role="shadow", version=version, share=share))
