"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from streamgauge.jobs.cluster.home import default_home
from streamgauge.jobs.cluster.kernels import use_compiled

use_compiled(default_home())  # what `streamgauge warm` compiled for exactly this code; before a test imports numba

settings.register_profile("quick", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
os.environ.setdefault("COLUMNS", "200")  # what commands print must not depend on the terminal of the tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything under tests/integration needs the cluster, and runs last."""
    for item in items:
        if "integration" in Path(item.path).parts:
            item.add_marker(pytest.mark.integration)
    items.sort(key=lambda item: item.get_closest_marker("integration") is not None)
