"""The dashboard of the service: a real Prometheus scrapes a running service, and each of its expressions gives data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamgauge.jobs.service.database import connect, migrate

from tests.docker.prometheus import ask, prometheus, silent
from tests.docker.read import dashboards, expressions, metrics_in, rules
from tests.jobs.service.receiver import Receiver
from tests.jobs.service.redis_server import RedisServer
from tests.jobs.service.telling import SECRET, until
from tests.jobs.service.test_api import settings
from tests.jobs.service.test_browser import served


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
            with prometheus(tmp_path, {"streamgauge-service": [address.removeprefix("http://")]}) as own:
                yield own
    finally:
        redis.kill()
        receiver.stop()
        engine.dispose()


def test_every_expression_of_the_dashboard_gives_data_and_every_metric_of_the_service_that_rules_name(scraped):
    asked = [text.replace("$instance", ".+") for text in expressions(dashboards()["service.json"])]
    asked = [text for text in asked if not text.startswith("ALERTS{")]  # no alert is to fire
    assert len(asked) > 10
    named = {name for rule in rules() for name in metrics_in(rule["expr"]) if name.startswith("streamgauge_service_")}
    assert named
    until(lambda: not silent(scraped, [*asked, *named]))
