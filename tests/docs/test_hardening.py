"""The page about hardening names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"`(tests/[\w/]+\.py)` `(\w+)`")


def test_each_named_test_exists():
    named = ROW.findall((ROOT / "docs" / "hardening.md").read_text(encoding="utf-8"))
    assert len(named) >= 15
    missing = [one for one in named if f"def {one[1]}(" not in (ROOT / one[0]).read_text(encoding="utf-8")]
    assert missing == []
