"""What was said to the job: control messages and feedback, in the order of their offsets."""

from __future__ import annotations

from dataclasses import dataclass

from streamgauge.models.errors import SettingsError
from streamgauge.udfs.control.feedback import Feedback, parse_feedback
from streamgauge.udfs.control.messages import ControlMessage, EntityAction, ModelVersion, check, key_of, parse
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.pipeline import PipelineSettings


@dataclass(frozen=True, slots=True)
class Received:
    """A message, its offset on its topic, and the message in force that it replaced."""

    offset: int
    message: ControlMessage | Feedback
    replaced: ControlMessage | None = None


class Inbox:
    """Reads messages, and keeps those that a pipeline which is restored later must hear, too.

    Parameters
    ----------
    settings : PipelineSettings
    models : Models
        A message about a trained model puts it to work.
    feedback_topic : str
        Messages of all other topics are control messages.

    Attributes
    ----------
    in_force : dict of str to ControlMessage
        The newest message of each key.
    actions : list of Received
        What is to be done with entities.
    feedback : list of Received
    """

    def __init__(self, settings: PipelineSettings, models: Models, feedback_topic: str) -> None:
        self._settings, self._models, self._feedback_topic = settings, models, feedback_topic
        self.in_force: dict[str, ControlMessage] = {}
        self.actions: list[Received] = []
        self.feedback: list[Received] = []
        self._newest: dict[str, int] = {}

    def take(self, topic: str, offset: int, text: str | None) -> Received | None:
        """Read a message; None where it was read before.

        Raises
        ------
        SettingsError, ModelError
            It cannot be read, or the model that it names cannot be used.
        """
        if offset <= self._newest.get(topic, -1):
            return None
        self._newest[topic] = offset
        if not isinstance(text, str):
            raise SettingsError("message: the record has no text; a message is a JSON object")
        if topic == self._feedback_topic:
            received = Received(offset, parse_feedback(text))
            self.feedback.append(received)
            return received
        message = self._control(text)
        if isinstance(message, EntityAction):
            received = Received(offset, message)
            self.actions.append(received)
            return received
        received = Received(offset, message, self.in_force.get(key_of(message)))
        self.in_force[key_of(message)] = message
        return received

    def drop(self, received: Received) -> None:
        """Forget a message that cannot be put in force; what it replaced is in force again."""
        self.actions = [one for one in self.actions if one is not received]
        self.feedback = [one for one in self.feedback if one is not received]
        if isinstance(received.message, Feedback | EntityAction):
            return
        key = key_of(received.message)
        if received.replaced is None:
            self.in_force.pop(key, None)
        else:
            self.in_force[key] = received.replaced

    def _control(self, text: str) -> ControlMessage:
        message = parse(text)
        check(message, self._settings)
        if isinstance(message, ModelVersion):
            self._models.take(message)
        return message
