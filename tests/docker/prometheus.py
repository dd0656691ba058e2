"""A real Prometheus with the rules of the repository."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

from tests.docker.read import DOCKER, dashboards, expressions, metrics_in, read_yaml, rules


@contextmanager
def prometheus(folder: Path, targets: dict[str, list[str]]) -> Iterator[str]:
    """A running Prometheus, by its address.

    It reads the targets every second, by the names of their jobs, as `docker/prometheus/prometheus.yml` says. Its rules are those of
    `docker/prometheus`, each second.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise RuntimeError("Prometheus is needed: ./install.sh dev installs it")
    scrapes = {job["job_name"]: job for job in read_yaml(DOCKER / "prometheus" / "prometheus.yml")["scrape_configs"]}
    places = {name: {"static_configs": [{"targets": at}], "dns_sd_configs": []} for name, at in targets.items()}
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [scrapes[name] | place for name, place in places.items()],
    }
    groups = [group | {"interval": "1s"} for group in read_yaml(DOCKER / "prometheus" / "rules.yml")["groups"]]
    for name, content in (("prometheus.yml", config), ("rules.yml", {"groups": groups})):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
    with socket.create_server(("127.0.0.1", 0)) as free:
        own = f"127.0.0.1:{free.getsockname()[1]}"
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([program, *options, f"--web.listen-address={own}"], stdout=log, stderr=log)
    try:
        yield f"http://{own}"
    finally:
        process.terminate()
        process.wait()


def ask(address: str, path: str, **query: str) -> Any:
    """The JSON that an address answers, errors too; None while it is starting."""
    try:
        with urllib.request.urlopen(f"{address}{path}?{urlencode(query)}", timeout=60) as answer:
            return json.loads(answer.read())
    except HTTPError as error:
        return json.loads(error.read()) if "json" in error.headers["Content-Type"] else None
    except OSError:
        return None


def silent(address: str, queries: list[str]) -> list[str]:
    """The queries for which a Prometheus has no data. A query that it refuses is an AssertionError."""
    answers = {text: ask(address, "/api/v1/query", query=text) for text in queries}
    assert not [answer for answer in answers.values() if answer and answer["status"] != "success"]
    return [text for text, answer in answers.items() if answer is None or not answer["data"]["result"]]


def asked_of_the_job(job: str) -> list[str]:
    """Queries that a Prometheus with a whole running job and its trainer must have data for.

    They are all expressions of the dashboards but the one of the service, all that rules record, and all metrics that alerts name.
    """
    boards = [board for name, board in dashboards().items() if name != "service.json"]
    asked = {text.replace("$job", job) for board in boards for text in expressions(board)}
    for rule in rules():
        if "record" in rule:
            labels = ", ".join(f'{key}="{value}"' for key, value in rule.get("labels", {}).items())
            asked.add(f"{rule['record']}{{{labels}}}")
        else:
            asked |= {name for name in metrics_in(rule["expr"]) if not name.startswith("streamgauge_service_")}
    return sorted(text for text in asked if not text.startswith("ALERTS{"))  # no alert is to fire


def broken_rules(address: str) -> list[str]:
    """The rules that a Prometheus cannot evaluate."""
    groups = ask(address, "/api/v1/rules")["data"]["groups"]
    return [rule["name"] for group in groups for rule in group["rules"] if rule["health"] != "ok"]
