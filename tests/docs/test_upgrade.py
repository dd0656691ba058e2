"""The page about upgrades names each release of which a small state is kept, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
STATES = ROOT / "tests" / "state"
PAGE = (ROOT / "docs" / "upgrade.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("## From which release to which")[2].partition("\n\n- ")[0]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.strip().splitlines()[2:]]


def test_each_kept_state_has_a_row_and_each_named_one_is_kept():
    kept = {str(file.parent.relative_to(ROOT)) for file in STATES.glob("*/*.zip")}
    named = [cell for row in ROWS for cell in re.findall(r"`(tests/state/\w+)`", row[3])]
    assert sorted(named) == sorted(kept)
    assert "tests/state/v1" in kept


def test_each_row_says_from_where_to_where_and_what_begins_anew():
    assert all(len(row) == 4 and all(row[:3]) for row in ROWS)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## (\d+\.\d+\.\d+)", changelog, re.MULTILINE)
    assert releases
    assert [release for release in releases if release not in {row[0] for row in ROWS}] == []


def test_the_page_is_in_the_navigation_and_operating_leads_to_it():
    assert '"upgrade.md"' in (ROOT / "zensical.toml").read_text(encoding="utf-8")
    assert "(upgrade.md)" in (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
