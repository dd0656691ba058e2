"""Every detector can be chosen in the settings, and has a docstring that says where it comes from."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.catalog import CATALOG, COHORT, ENTITY, LOADED, ONLINE
from streamgauge.udfs.scoring.channels import FIELD, FIELDS
from streamgauge.udfs.scoring.detectors import OWN, Detectors
from streamgauge.udfs.settings.detectors import DetectorSettings

from tests.streams import SMALL, Run, stream


def test_the_settings_name_every_detector():
    assert set(DetectorSettings.model_fields) == set(ONLINE)


@pytest.mark.parametrize("name", sorted(ONLINE))
def test_settings_and_detector_have_the_same_defaults(name):
    section = DetectorSettings.model_validate({name: {}})
    chosen = getattr(section, name).model_dump(exclude=OWN)
    assert ONLINE[name]().settings() == chosen
    assert ONLINE[name](**chosen).settings() == chosen


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ONLINE))
def test_every_detector_runs_in_the_pipeline_and_survives_a_restart(name):
    only = DetectorSettings.model_validate(dict.fromkeys(DetectorSettings.model_fields) | {name: {}})
    settings = SMALL.model_copy(update={"detectors": only})
    channels = [channel.name for channel in getattr(ONLINE[name], "channels", ())]
    assert Detectors(only).names == [*channels, FIELD, FIELDS, *([] if channels else [name])]
    raw = stream(n=400, fields=2)
    first, rest = raw.take(np.arange(300)), raw.take(np.arange(300, 400))
    before = Run(settings).feed(first, [7, 150])
    after = Run(settings, before.saved).feed(rest)
    whole = Run(settings).feed(raw)
    assert after.shard.canonical() == whole.shard.canonical()
    assert sorted(before.scores + after.scores) == sorted(whole.scores)


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_a_light_detector_keeps_little_and_each_says_what_it_does(name):
    assert CATALOG[name].__doc__
    if name in ENTITY and ENTITY[name].tier == "light":
        assert ENTITY[name]().numbers_per_feature <= 32
    assert sum(name in kind for kind in (COHORT, ENTITY, LOADED)) == 1
