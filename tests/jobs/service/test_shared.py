"""Several services with one Redis: they count together and tell each other of changes, and go on by themselves while it is away."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from fastapi.testclient import TestClient
from streamgauge.jobs.service import feed as feed_module
from streamgauge.jobs.service.app import application
from streamgauge.jobs.service.database import connect, migrate
from streamgauge.jobs.service.feed import Feed
from streamgauge.jobs.service.queries import Queries
from streamgauge.jobs.service.rates import Rates
from streamgauge.jobs.service.shared import Shared
from streamgauge.jobs.settings.service import LimitSettings
from streamgauge.models.errors import SettingsError
from structlog.testing import capture_logs

from tests.jobs.service.made import change, records
from tests.jobs.service.redis_server import PASSWORD, RedisServer, wait_for
from tests.jobs.service.test_api import HERE, settings


@pytest.fixture
def redis(tmp_path):
    server = RedisServer(tmp_path)
    yield server
    server.kill()


@contextlib.contextmanager
def link(redis, look=lambda: None):
    """A running link to Redis."""
    shared = Shared(redis.url, look)
    shared.start()
    try:
        wait_for(lambda: shared.connected)
        yield shared
    finally:
        shared.stop()


def test_services_count_requests_together(redis):
    limits = LimitSettings(requests="4 per day")
    with link(redis) as first, link(redis) as second:
        services = [Rates(limits, first), Rates(limits, second)]
        waits = [services[n % 2].wait("requests", "ann") for n in range(6)]
        assert waits[:4] == [None] * 4
        assert all(1 <= seconds <= 86_400 for seconds in waits[4:])
        assert services[0].wait("requests", "bo") is None


def test_while_redis_is_away_each_service_counts_by_itself_and_it_comes_back(redis):
    with capture_logs() as logs, link(redis) as shared:
        rates = Rates(LimitSettings(requests="1 per day"), shared)
        assert rates.wait("requests", "ann") is None
        assert rates.wait("requests", "ann") is not None
        redis.kill()
        assert rates.wait("requests", "ann") is None  # counted here, and for the first time
        assert rates.wait("requests", "ann") is not None
        wait_for(lambda: not shared.connected)
        redis.start()
        wait_for(lambda: shared.connected)
        assert rates.wait("requests", "ann") is None  # Redis kept nothing
        assert rates.wait("requests", "ann") is not None
    assert [log["log_level"] for log in logs] == ["warning", "info"]
    assert "Redis is away" in logs[0]["event"]
    assert PASSWORD not in str(logs)


def test_a_change_is_told_to_the_others_also_after_redis_was_away(redis):
    heard = threading.Event()
    with link(redis) as writer, link(redis, heard.set):
        heard.clear()
        writer.tell()
        assert heard.wait(60)
        redis.kill()
        writer.tell()
        wait_for(lambda: not writer.connected)
        heard.clear()
        redis.start()
        wait_for(lambda: writer.connected)
        assert heard.wait(60)  # once more at the return, because something may have been missed
        heard.clear()
        writer.tell()
        assert heard.wait(60)


def test_a_feed_looks_when_another_service_has_written(redis, history, database, monkeypatch):
    monkeypatch.setattr(feed_module, "EVERY", 3_600.0)
    history.write(records(change("a0")), {})

    async def listen():
        feed = Feed(Queries(database))
        looking = asyncio.create_task(feed.run())
        with link(redis, feed.look), link(redis) as writer:
            while not feed._last:
                await asyncio.sleep(0.01)
            fresh = asyncio.create_task(anext(feed.after(None, lambda: None)))
            while not feed.listeners:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(history.write, records(change("a1"), begin=1), {("alerts", 0): 1})
            await asyncio.to_thread(writer.tell)
            came = await fresh
        looking.cancel()
        return came

    assert asyncio.run(asyncio.wait_for(listen(), 60))["alert_id"] == "a1"


def test_the_metrics_say_whether_redis_answers_and_the_service_goes_on_without_it(redis, tmp_path):
    database = connect(None, tmp_path)
    migrate(database)
    with TestClient(application(settings(redis=redis.url), database), base_url=HERE) as client:
        wait_for(lambda: "streamgauge_service_redis 1.0" in client.get("/metrics").text)
        redis.kill()
        assert client.get("/v1/incidents").status_code == 200
        wait_for(lambda: "streamgauge_service_redis 0.0" in client.get("/metrics").text)
        assert client.get("/v1/incidents").status_code == 200
        redis.start()
        wait_for(lambda: "streamgauge_service_redis 1.0" in client.get("/metrics").text)
    database.dispose()


def test_a_service_starts_while_redis_is_away(redis):
    redis.kill()
    shared = Shared(redis.url, lambda: None)
    with capture_logs() as logs:
        shared.start()
        wait_for(lambda: logs)
        assert Rates(LimitSettings(), shared).wait("requests", "ann") is None
        redis.start()
        wait_for(lambda: shared.connected)
    shared.stop()


@pytest.mark.parametrize("url", ["http://host", "redis", f"redis://:{PASSWORD}@host:port/0"])
def test_an_address_that_is_none_of_redis_is_refused_without_showing_it(url):
    with pytest.raises(SettingsError, match=r"service\.redis: allowed is redis://") as refused:
        Shared(url, lambda: None)
    assert PASSWORD not in str(refused.value)
