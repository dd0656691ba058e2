"""Files of the package are the same in a clone and in an installed wheel."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from streamgauge.jobs.cluster import resources
from streamgauge.jobs.settings.loading import Settings, load
from streamgauge.models.errors import ClusterError

ROOT = Path(__file__).parents[3]
LOGGERS = [  # these write all variables of the environment, passwords too
    ("org.apache.flink.client.python.PythonEnvUtils", "WARN"),  # when the script of a job starts
    ("org.apache.beam.runners.fnexecution.control.DefaultJobBundleFactory", "ERROR"),  # when a process of Python ends
]


def test_flinks_configuration_is_in_the_folder_of_the_schemas():
    folder = resources.flink_configuration()
    assert {"config.yaml", "log4j-console.properties", "log4j-cli.properties"} <= {
        file.name for file in folder.iterdir()
    }
    assert len(list(folder.glob("*.schema.json"))) == 3


@pytest.mark.parametrize(("logger", "level"), LOGGERS)
def test_flink_writes_no_variable_of_the_environment_to_its_log(logger, level):
    lines = (resources.flink_configuration() / "log4j-console.properties").read_text(encoding="utf-8").splitlines()
    [name] = [line.split(".")[1] for line in lines if line.endswith(f".name = {logger}")]
    assert f"logger.{name}.level = {level}" in lines


def test_the_commented_settings_are_the_defaults():
    assert load(resources.default_settings(), {}) == Settings()


def test_the_jars_are_those_of_the_pom():
    names = {
        element.text for element in ElementTree.parse(resources.pom()).iter() if element.tag.endswith("artifactId")
    }
    assert {"kafka_2.13", "flink-sql-connector-kafka"} <= names


def test_the_exact_versions_are_those_of_the_clone():
    assert resources.constraints().read_bytes() == (ROOT / "constraints.txt").read_bytes()


def test_the_series_come_with_their_labels_and_their_licence():
    folder = resources.demo_series()
    assert len(list(folder.glob("*.csv"))) == 8
    assert (folder / "LICENSE.txt").is_file()


def test_the_script_that_flink_runs_is_in_the_package():
    assert resources.job_script().read_bytes() == (ROOT / "jobs" / "detect_anomalies.py").read_bytes()


def test_a_compiled_kernel_depends_on_the_library_and_the_stages():
    names = {file.name for file in resources.kernel_sources()}
    assert {"half_space_trees.py", "normalise.py"} <= names
    assert "local_cluster.py" not in names


def test_a_file_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "files", lambda package: tmp_path)
    with pytest.raises(ClusterError, match=r"streamgauge.conf has no file pom.xml: the installation is not complete"):
        resources.pom()
