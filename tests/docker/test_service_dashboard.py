"""The dashboard of the service: a real Prometheus scrapes a running service, and each of its expressions gives data."""

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

import pytest
from streamgauge.jobs.service.database import connect, migrate

from tests.docker.read import dashboards, expressions
from tests.jobs.service.receiver import Receiver
from tests.jobs.service.redis_server import RedisServer
from tests.jobs.service.telling import SECRET, until
from tests.jobs.service.test_api import settings
from tests.jobs.service.test_browser import served

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: streamgauge-service
    static_configs: [{{targets: ["{target}"]}}]
"""
ALERTS = "ALERTS{"  # no alert is to fire


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """A running Prometheus that scrapes an address, by its own address."""
    program = shutil.which("prometheus")
    if program is None:
        raise RuntimeError("Prometheus is needed: ./install.sh dev installs it")
    (folder / "prometheus.yml").write_text(CONFIG.format(target=target), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        own = f"127.0.0.1:{free.getsockname()[1]}"
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
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


@pytest.fixture
def scraped(tmp_path: Path) -> Iterator[str]:
    """A Prometheus that scrapes a service with Redis and a webhook."""
    engine, receiver, redis = connect(None, tmp_path), Receiver(), RedisServer(tmp_path)
    migrate(engine)
    more = {"redis": redis.url, "webhooks": {"one": {"url": receiver.url(), "secret": SECRET}}}
    try:
        with served(engine, settings(**more)) as address:
            for path in ("/v1/incidents", "/v1/incidents/none", "/v1/scores"):
                ask(address, path)
            with prometheus(tmp_path, address.removeprefix("http://")) as own:
                yield own
    finally:
        redis.kill()
        receiver.stop()
        engine.dispose()


def test_every_expression_of_the_dashboard_gives_data(scraped):
    asked = [text.replace("$instance", ".+") for text in expressions(dashboards()["service.json"])]
    asked = [text for text in asked if not text.startswith(ALERTS)]
    assert len(asked) > 10

    def silent() -> list[Any]:
        answers = {text: ask(scraped, "/api/v1/query", query=text) for text in asked}
        assert not [answer for answer in answers.values() if answer and answer["status"] != "success"]
        return [text for text, answer in answers.items() if answer is None or not answer["data"]["result"]]

    until(lambda: not silent())
