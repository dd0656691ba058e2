"""All files of the folder docker can be read, and programs that check them find nothing wrong where they are installed.

`./install.sh dev` installs promtool and amtool.
"""

from __future__ import annotations

import shutil
import subprocess

import pytest
from ruamel.yaml import YAML

from tests.docker.read import DOCKER, read_json

FILES = [file for file in sorted(DOCKER.rglob("*")) if file.is_file() and "templates" not in file.parts]
CHECKS = [
    ("promtool", "check", "rules", "prometheus/rules.yml"),
    ("promtool", "check", "config", "prometheus/prometheus.yml"),
    ("promtool", "test", "rules", "prometheus/rules.test.yml", "prometheus/rules.days.test.yml"),
    ("amtool", "check-config", "alertmanager/alertmanager.yml"),
]
ROUTES = [
    (("alertname=StreamgaugeLag", "severity=critical"), "on-call"),
    (("alertname=StreamgaugeDeadLetters", "severity=warning"), "operators"),
    (("entity=pump-7", "kind=point", "severity=critical"), "analysts"),
]


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.suffix in (".yml", ".yaml")], ids=lambda file: str(file.relative_to(DOCKER))
)
def test_every_yaml_file_can_be_read(file):
    assert all(YAML(typ="safe").load_all(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("file", [file for file in FILES if file.suffix == ".json"], ids=lambda file: file.name)
def test_every_json_file_can_be_read(file):
    assert read_json(file)


@pytest.mark.parametrize("check", CHECKS, ids=" ".join)
def test_programs_that_check_files_find_nothing_wrong(check):
    done = subprocess.run([needed(check[0]), *check[1:]], capture_output=True, text=True, check=False, cwd=DOCKER)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("labels", "receiver"), ROUTES, ids=[receiver for _, receiver in ROUTES])
def test_alerts_reach_those_who_answer(labels, receiver):
    file = "--config.file=alertmanager/alertmanager.yml"
    command = [needed("amtool"), "config", "routes", "test", file, f"--verify.receivers={receiver}", *labels]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=DOCKER)
    assert done.returncode == 0, done.stdout + done.stderr


def needed(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path
