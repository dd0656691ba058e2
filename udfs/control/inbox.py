"""Reads control messages and feedback, in the order of their offsets, and keeps what is needed later."""

from __future__ import annotations

from dataclasses import dataclass

from streamgauge.models.errors import SettingsError
from streamgauge.udfs.control.feedback import Feedback, parse_feedback
from streamgauge.udfs.control.messages import (
    ControlMessage,
    DetectorVersion,
    EntityAction,
    ModelVersion,
    check,
    key_of,
    parse,
)
from streamgauge.udfs.control.proof import Gate
from streamgauge.udfs.scoring.memory import check_memory
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.pipeline import PipelineSettings


@dataclass(frozen=True, slots=True)
class Received:
    """A message that was read.

    Attributes
    ----------
    offset : int
        On its topic.
    message : ControlMessage or Feedback
    replaced : ControlMessage or None
        The message that was in force before.
    anew : bool
        Whether the topic was made anew: another message was at this offset.
    """

    offset: int
    message: ControlMessage | Feedback
    replaced: ControlMessage | None = None
    anew: bool = False


class Inbox:
    """Reads messages, and keeps them for pipelines that are restored later: these must apply them, too.

    Parameters
    ----------
    settings : PipelineSettings
    models : Models
        Loads the versions that messages name.
    feedback_topic : str
        Messages of this topic are feedback; those of all other topics are control messages.

    Attributes
    ----------
    in_force : dict of str to ControlMessage
        The newest message of each key.
    actions : list of Received
        Requests about entities.
    feedback : list of Received
        All feedback.
    """

    def __init__(self, settings: PipelineSettings, models: Models, feedback_topic: str) -> None:
        self._settings, self._models, self._feedback_topic = settings, models, feedback_topic
        self.in_force: dict[str, ControlMessage] = {}
        self.actions: list[Received] = []
        self.feedback: list[Received] = []
        self._newest: dict[str, int] = {}
        self._texts: dict[tuple[str, int], int] = {}  # hash of the text at each offset
        self._refused: set[tuple[str, int]] = set()  # places of feedback that was refused
        self._gate = Gate(settings.feedback)

    def take(self, topic: str, offset: int, text: str | None) -> Received | None:
        """Read a message.

        Parameters
        ----------
        topic : str
        offset : int
            On the topic.
        text : str or None
            JSON; None for a record without a value.

        Returns
        -------
        Received or None
            None if the message was read before, here or as feedback at another offset; but feedback that was refused is refused again.

        Raises
        ------
        SettingsError
            The message cannot be read, or names something that these settings do not have.
        ModelError
            The version that it names cannot be used.
        """
        place, mark = (topic, offset), hash(text)
        known = offset <= self._newest.get(topic, -1)
        again = known and self._texts.get(place) in (None, mark)
        if again and place not in self._refused:
            return None
        anew = known and not again
        if anew:
            self._texts = {other: text for other, text in self._texts.items() if other[0] != topic}
            self._refused = {other for other in self._refused if other[0] != topic}
        if not again:
            self._newest[topic], self._texts[place] = offset, mark
        # What the job read at its start is given to it once more by Flink. A refusal then becomes a dead letter. Feedback that was refused
        # is refused again, but a control message may be one of a model that can be loaded by now, and newer ones are in force.
        if topic == self._feedback_topic:
            self._refused.add(place)
        received = self._read(topic, offset, text, anew)
        self._refused.discard(place)
        return received

    def _read(self, topic: str, offset: int, text: str | None, anew: bool) -> Received | None:
        """Read a message at a place that is new; None if it is feedback that is in force already."""
        if not isinstance(text, str):
            raise SettingsError("message: the record has no text; a message is a JSON object")
        if topic == self._feedback_topic:
            said = parse_feedback(text)
            if not self._gate.admit(said):
                return None
            received = Received(offset, said, anew=anew)
            self.feedback.append(received)
            return received
        message = self._control(text)
        if isinstance(message, EntityAction):
            received = Received(offset, message, anew=anew)
            self.actions.append(received)
            return received
        received = Received(offset, message, self.in_force.get(key_of(message)), anew)
        self.in_force[key_of(message)] = message
        return received

    def newest_offset(self, feedback: bool) -> int:
        """Newest offset that was read of the topic of feedback, or of the control topic; -1 if there is none."""
        return max(
            (at for topic, at in self._newest.items() if (topic == self._feedback_topic) == feedback), default=-1
        )

    def drop(self, received: Received) -> None:
        """Remove a message that cannot be put in force. The message that it replaced is in force again."""
        self.actions = [other for other in self.actions if other is not received]
        self.feedback = [other for other in self.feedback if other is not received]
        if isinstance(received.message, Feedback | EntityAction):
            return
        key = key_of(received.message)
        if received.replaced is None:
            self.in_force.pop(key, None)
        else:
            self.in_force[key] = received.replaced

    def _control(self, text: str) -> ControlMessage:
        """Read and check a control message, and load the version of a model that it names."""
        message = parse(text)
        check(message, self._settings)
        if isinstance(message, DetectorVersion):
            try:
                check_memory(message.detector, message.settings, self._settings.event.max_fields)
            except ValueError as error:
                raise SettingsError(f"control message: {error}") from error
        if isinstance(message, ModelVersion):
            self._models.take(message)
        return message
