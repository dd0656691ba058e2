"""What is in force: the newest of each kind of control message, and all feedback."""

from __future__ import annotations

from typing import Any

from streamgauge.udfs.control.feedback import FeedbackInForce
from streamgauge.udfs.control.messages import (
    ControlMessage,
    DetectorVersion,
    MaintenanceWindows,
    Rules,
    Threshold,
    Trial,
    Weights,
)
from streamgauge.udfs.settings.pipeline import DecideSettings, Maintenance
from streamgauge.udfs.settings.rules import Rule


class InForce:
    """The newest control message of each kind, and all feedback.

    Versions of trained models are not kept here, but in `udfs.scoring.trained_models`.

    Parameters
    ----------
    decide : DecideSettings
        Rules and maintenance windows that hold until a message replaces them.

    Attributes
    ----------
    threshold : float or None
        Tail probability; None where no message has set one: then that of the settings or of the promise holds.
    trial : Trial or None
        A trial of two thresholds, which replaces `threshold`.
    rules : tuple of Rule
    maintenance : tuple of Maintenance
    versions : dict of str to dict
        By detector: its ``version`` and ``settings``.
    weights : dict of str to float
        By member.
    feedback : FeedbackInForce
    acted, judged : int
        Offset of the newest action on an entity, and of the newest feedback, that were taken; -1 before the first one. What begins
        anew, such as a partition without saved state, does not take older ones.
    """

    def __init__(self, decide: DecideSettings) -> None:
        self.threshold: float | None = None
        self.trial: Trial | None = None
        self.rules: tuple[Rule, ...] = decide.rules
        self.maintenance: tuple[Maintenance, ...] = decide.maintenance
        self.versions: dict[str, dict[str, Any]] = {}
        self.weights: dict[str, float] = {}
        self.feedback = FeedbackInForce()
        self.acted = self.judged = -1

    def apply(self, message: ControlMessage) -> None:
        """Put a message in force. It replaces the last one of its kind."""
        match message:
            case Threshold():
                self.threshold = message.value
            case Trial():
                self.trial = None if message.a is None else message
            case Rules():
                self.rules = message.rules
            case MaintenanceWindows():
                self.maintenance = message.windows
            case Weights():
                self.weights = dict(message.weights)
            case DetectorVersion():
                parameters = message.settings.model_dump(exclude={"weight", "streams"})
                self.versions[message.detector] = {"version": message.version, "settings": parameters}
