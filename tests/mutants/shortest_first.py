"""A plugin of pytest for `make mutants`: short tests come first, and the inputs of property tests are few and always the same.

Most faults are then noticed within a second. Tests of one file stay together, because they share fixtures that take long to make.
"""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import HealthCheck, Phase, settings
from mutmut.state import state

# A failing input need not be made small: that a test fails is all that counts here.
settings.register_profile(
    "mutants",
    max_examples=10,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort tests by how long their file took in the run without faults, then by how long they took themselves."""
    seconds = {item.nodeid: state().duration_by_test.get(item.nodeid, 0.0) for item in items}
    of_file: dict[str, float] = defaultdict(float)
    for item in items:
        of_file[str(item.path)] += seconds[item.nodeid]
    items.sort(key=lambda item: (of_file[str(item.path)], seconds[item.nodeid]))
