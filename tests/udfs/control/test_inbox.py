"""Control messages are checked like settings before they are in force."""

from __future__ import annotations

import json

import pytest
from streamgauge.models.errors import SettingsError
from streamgauge.udfs.control.inbox import Inbox
from streamgauge.udfs.scoring.trained_models import Models
from streamgauge.udfs.settings.pipeline import PipelineSettings

SETTINGS = PipelineSettings()


@pytest.mark.parametrize("detector", ["half_space_trees", "river_half_space_trees"])
def test_a_message_that_asks_for_46_gigabytes_is_refused(detector):
    inbox = Inbox(SETTINGS, Models(SETTINGS.models), "feedback")
    huge = {"type": "detector", "detector": detector, "version": "2", "settings": {"n_trees": 1000, "height": 20}}
    with pytest.raises(SettingsError, match=rf"detectors.{detector} would take \d+ MB .*500 MB are allowed"):
        inbox.take("control", 0, json.dumps(huge))
    assert inbox.in_force == {}
    inbox.take("control", 1, json.dumps(huge | {"settings": {"n_trees": 5}}))
    assert list(inbox.in_force) == [f"detector {detector}"]
