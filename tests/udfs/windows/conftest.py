"""What the tests of windows share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from streamgauge.udfs.windows import aggregate


@pytest.fixture(autouse=True, scope="module")
def _few_events_are_kept_together() -> Iterator[None]:
    """So few that short streams fill many blocks, and windows are aggregated in parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregate, "BLOCK", 50)
        patch.setattr(aggregate, "PART", 15)
        yield
