"""The arguments of the Spark job, and what it needs. What it does is tested on a real broker (tests/integration/test_spark.py)."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest
from streamgauge.jobs.spark.__main__ import main

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--most", "0"], "--most is 0: it must be at least 1"),
        (["--conf", "spark.driver.memory"], "--conf 'spark.driver.memory': must be KEY=VALUE"),
        (["--conf", "driver.memory=4g"], "--conf 'driver.memory=4g': must be KEY=VALUE with a key of Spark"),
        (["--settings", "missing.yaml"], "cannot read the settings file missing.yaml"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(find_spec("pyspark") is not None, reason="pyspark is installed here")
def test_without_pyspark_it_says_where_to_get_it(tmp_path, capsys):
    file = tmp_path / "settings.yaml"
    file.write_text("decide: {group_within: 0 s}\n")
    assert main(["--settings", str(file)]) == 2
    assert "error: pyspark is not installed here: `make spark`" in capsys.readouterr().err


def test_the_jars_are_those_of_the_pinned_spark():
    pinned = dict(re.findall(r"^(\w+)==(\S+)", (ROOT / "constraints-spark.txt").read_text(), re.MULTILINE))
    pom = ElementTree.parse(ROOT / "jobs" / "spark" / "pom.xml")
    [version] = [element.text for element in pom.iter() if element.tag.endswith("spark.version")]
    assert version == pinned["pyspark"]


def test_what_spark_needs_differs_from_what_flink_needs_in_py4j_only():
    both = [
        dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("constraints.txt", "constraints-spark.txt")
    ]
    assert {name for name in both[0].keys() & both[1].keys() if both[0][name] != both[1][name]} == {"py4j"}
