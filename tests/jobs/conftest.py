"""What the tests of the trainer share."""

from __future__ import annotations

import pytest
from streamgauge.jobs.studies.train import train
from streamgauge.models.persistence.registry import Registry

from tests.jobs.retraining.in_memory import InMemory, past


@pytest.fixture
def trainer(tmp_path):
    registry = Registry(str(tmp_path))
    registry.point("m", "live", train(registry, "m", "isolation_forest", past(), {"n_trees": 20}).version)
    return InMemory(tmp_path)
