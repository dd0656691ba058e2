"""The Flink operator after scoring: it groups the incidents of all partitions, and sends notices of the groups."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream.functions import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueStateDescriptor
from streamgauge.udfs.events.time import epoch_milliseconds
from streamgauge.udfs.incidents.groups import AllGroups
from streamgauge.udfs.output.cloud_event import Origin


class GroupIncidents(KeyedProcessFunction):  # type: ignore[misc]
    """Takes the alerts of incidents that open. They are few, so all have the same key.

    Parameters
    ----------
    within : int
        Milliseconds; see `AllGroups`.
    topic, job : str
        Named in notices; with several topics, the topic is `EventTopics.text`.
    """

    def __init__(self, within: int, topic: str, job: str) -> None:
        self._within, self._topic, self._job = within, topic, job

    def open(self, context: RuntimeContext) -> None:
        """Ask Flink for the state."""
        self._state = context.get_state(ValueStateDescriptor("groups", Types.PICKLED_BYTE_ARRAY()))
        self._groups: AllGroups | None = None

    def process_element(self, value: Any, ctx: Any) -> Iterator[Row]:
        """Add an incident, and send a notice if its group changed."""
        if self._groups is None:
            self._groups, saved = AllGroups(self._within), self._state.value()
            if saved is not None:
                self._groups.restore(saved)
        alert = json.loads(value[1])["data"]
        changed = self._groups.join(alert)
        self._state.update(self._groups.to_state())
        if changed:
            change, group = changed
            root, time = group["root"]["entity"], epoch_milliseconds(alert["window"]["from"])
            identity = f"{group['id']}-{group['incidents']}"
            text = Origin(self._topic, self._job).event(identity, f"group.{change}", root, time, group)
            yield Row(root, text.decode())
