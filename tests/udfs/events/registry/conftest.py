"""A small registry for the tests of this folder."""

from __future__ import annotations

import pytest

from tests.udfs.events.registry.small_registry import small_registry


@pytest.fixture
def registry():
    """A registry without authentication and without schemas."""
    with small_registry() as running:
        yield running
