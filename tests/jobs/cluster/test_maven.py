"""Maven is called once for the jars, and what it says is told."""

from __future__ import annotations

import shutil

import pytest
from streamgauge.jobs.cluster.maven import fetch
from streamgauge.models.errors import ClusterError

NEEDED = ("a-*.jar", "b-*.jar")


def test_jars_that_are_there_are_not_fetched_again(tmp_path):
    for name in ("a-1.jar", "b-2.jar"):
        (tmp_path / name).touch()
    fetch(tmp_path / "missing.xml", tmp_path, tmp_path, NEEDED)


@pytest.mark.skipif(shutil.which("mvn") is None, reason="Maven is not installed")
def test_what_maven_says_is_in_the_message(tmp_path):
    (tmp_path / "a-1.jar").touch()  # one is not enough
    (tmp_path / "own.xml").write_text("<project>")
    with pytest.raises(ClusterError, match=r"Maven could not fetch the jars: .*pom\.xml"):
        fetch(tmp_path / "own.xml", tmp_path, tmp_path, NEEDED)
