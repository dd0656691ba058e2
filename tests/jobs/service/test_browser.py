"""The page in a real browser: every view, with the keyboard, in light and dark, with many incidents, and while the history changes."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import uvicorn
from playwright.sync_api import expect
from streamgauge.jobs.service import explanations
from streamgauge.jobs.service.app import application
from streamgauge.jobs.service.database import connect, migrate
from streamgauge.jobs.service.history import History
from streamgauge.jobs.settings.kafka import TopicSettings
from streamgauge.jobs.studies.explain import Explanation
from streamgauge.models.errors import InputError

from tests.browser import PATIENCE, chromium, opened
from tests.jobs.service.made import change, compared, grouped, letter, records, report, said, schema, step
from tests.jobs.service.postgresql_server import PostgreSqlServer
from tests.jobs.service.test_api import settings

HOSTILE = "<img src=x onerror=alert(1)>"
VIEWS = ("/", "/incidents/a1", "/entities/pump-1", "/quality", "/models", "/stream")
MANY = 10_000
MOST_BYTES = 250_000


@contextmanager
def served(engine, given=None):
    """The service over a history, by its address. No broker answers it."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(application(given or settings(), engine), log_config=None, timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


class Site:
    """A history that grows, and the service over it."""

    def __init__(self, folder, url=None):
        self.engine = connect(url or f"sqlite:///{folder / 'history.db'}", folder)
        migrate(self.engine)
        self._history, self._next = History(self.engine, TopicSettings()), {}

    def write(self, *messages, topic="alerts"):
        """Write messages into the history, as if they came from their topic."""
        begin = self._next.get(topic, 0)
        self._history.write(records(*messages, begin=begin, topic=topic), {(topic, 0): begin} if begin else {})
        self._next[topic] = begin + len(messages)


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A service whose history has something for every view."""
    made = Site(tmp_path_factory.mktemp("site"))
    group = {"id": "a1", "incidents": 2, "root": {"entity": "pump-1", "field": "flow", "time": "2025-10-09T09:00:00Z"}}
    past = {"from": "2025-10-01T09:00:00Z", "to": "2025-10-01T09:05:00Z", "anomalous_events": 4}
    made.write(
        change("a0", window=past),
        change("a0", "resolved", 5, window=past),
        change("a1", group=group),
        change("a2", entity=HOSTILE, severity="low", group=group),
        change("a3", entity="valve-9", kind="drift", severity="critical"),
    )
    made.write(said(why="a backup ran"), said("a0", verdict="true"), topic="feedback")
    made.write(
        report(0, 1, models={"pumps": "1", "pumps shadow": "2"}),
        report(1, 2, probe=("drift", False)),
        grouped(2, ["a1"], 3),
        step("trained", 1, version=2, detector="isolation_forest", rows=5000, reason="columns"),
        step("rejected", 1, version=3, gate="cost", why="it is slower than the live version"),
        step("shadowed", 2, version=2, live=1, separates_planted=0.9, live_separates_planted=0.8),
        compared(3),
        schema("retyped", HOSTILE, f"field {HOSTILE} held numbers, now str", 4),
        topic="notices",
    )
    made.write(letter(1, message=HOSTILE, raw=HOSTILE.encode()), letter(2, "no_entity"), topic="dead-letters")
    with served(made.engine) as address:
        made.address = address
        yield made
    made.engine.dispose()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_without_errors_and_can_be_used_by_everyone(browser, site, view, scheme):
    with opened(browser, site.address, color_scheme=scheme) as watched:
        watched.open(view)
        expect(watched.page.locator("h1")).to_be_visible()
        assert watched.flaws() == []


def test_a_narrow_screen_shows_all_columns(browser, site):
    with opened(browser, site.address, viewport={"width": 400, "height": 800}) as watched:
        for view in VIEWS:
            watched.open(view)
            assert watched.page.evaluate("document.documentElement.scrollWidth") <= 400, view


HIDE, SHOW = (
    f"() => {{ Object.defineProperty(document, 'hidden', {{value: {value}, configurable: true}});"
    " document.dispatchEvent(new Event('visibilitychange')); }"
    for value in ("true", "false")
)
REACHED = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  return {what: one.outerHTML, seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0};
}"""


@pytest.mark.parametrize("view", VIEWS)
def test_everything_can_be_reached_with_the_keyboard_and_shows_where_it_is(browser, site, view):
    with opened(browser, site.address) as watched:
        page = watched.page
        watched.open(view)
        wanted = page.eval_on_selector_all(
            "a, button, input:not([type=hidden]), summary", "all => all.map((one) => one.outerHTML)"
        )
        reached = []
        for _ in range(3 * len(wanted) + 20):  # a field for a time has several places to stop at
            page.keyboard.press("Tab")
            now = page.evaluate(REACHED)
            if now["what"].startswith("<body"):
                break
            assert now["seen"], now["what"]
            reached.append(now["what"])
        assert list(dict.fromkeys(reached)) == list(dict.fromkeys(wanted))


def test_the_keyboard_alone_opens_an_incident(browser, site):
    with opened(browser, site.address) as watched:
        page = watched.page
        watched.open("/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page).to_have_url(site.address + "/incidents/a3")


def test_an_image_that_cannot_be_drawn_says_why(browser, site):
    with opened(browser, site.address) as watched:
        watched.page.goto("/incidents/a1")  # waits for the image
        assert watched.page.eval_on_selector("img.series", "image => image.naturalWidth") == 900
        assert "no Kafka broker answers" in watched.page.request.get("/incidents/a1/series.svg").text()


def test_html_in_names_is_shown_as_text(browser, site):
    with opened(browser, site.address) as watched:
        page = watched.page
        watched.open("/")
        page.get_by_role("link", name=HOSTILE).click()
        expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
        watched.open("/incidents/a2")
        expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()
        assert page.locator("img[src=x]").count() == 0


def test_incidents_that_belong_together_are_shown_together(browser, site):
    with opened(browser, site.address) as watched:
        watched.open("/")
        group = watched.page.locator("tbody", has_text="2 incidents belong together; the first was pump-1, flow")
        assert group.locator("td a[href^='/entities/']").all_inner_texts() == ["pump-1", HOSTILE]


def test_an_incident_says_what_a_verdict_will_change(browser, site):
    with opened(browser, site.address) as watched:
        watched.open("/incidents/a3")
        words = watched.page.locator("main")
        expect(words).to_contain_text("only if its tail probability is below 1e-10")
        expect(words).to_contain_text("if the field is more than 88 from its expected value")
        expect(words).to_contain_text("streamgauge explain a3")


def test_what_would_not_have_opened_an_incident_is_shown_as_soon_as_it_is_found(browser, site, monkeypatch):
    may = threading.Event()

    def scored_again(_, alert_id, say):
        say(2_000, 5_000)
        assert may.wait(PATIENCE)
        if alert_id == "a3":
            raise InputError(f"{HOSTILE} sent nothing")
        return Explanation({}, counterfactuals=["flow <= 241"], notes=[HOSTILE])

    monkeypatch.setattr(explanations, "scored_again", scored_again)
    with served(site.engine, settings(score=True)) as address, opened(browser, address) as watched:
        page, place = watched.page, watched.page.locator("#counterfactual")
        for alert_id, words in (("a1", f"flow <= 241 Note: {HOSTILE}."), ("a3", f"{HOSTILE} sent nothing")):
            may.clear()
            watched.open(f"/incidents/{alert_id}")
            assert watched.flaws() == []
            page.get_by_role("button", name="Find out").click()
            expect(place).to_contain_text("2000 of 5000 events are scored again", timeout=PATIENCE)
            page.evaluate("window.before = true")
            may.set()
            expect(place).to_contain_text(words, timeout=PATIENCE)
            assert watched.flaws() == []
            assert page.evaluate("window.before")  # it was not loaded anew
        expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_an_open_page_follows_the_history_and_keeps_the_focus(browser, site):
    with opened(browser, site.address) as watched:
        page = watched.page
        watched.open("/")
        link = page.locator("a[href='/incidents/a3']")
        link.focus()
        page.evaluate("window.before = true")
        site.write(change("b1", entity="pump-new", severity="critical"))
        expect(page.get_by_role("link", name="pump-new")).to_be_visible(timeout=PATIENCE)
        expect(page.locator("#told")).to_have_text(page.locator("h1").inner_text())
        expect(link).to_be_focused()
        site.write(change("b1", "resolved", 1, entity="pump-new", severity="critical"))
        expect(page.locator("table", has_text="pump-new")).to_have_attribute("aria-label", "Ended lately")
        assert page.evaluate("window.before")  # it was not loaded anew


def test_a_verdict_that_reaches_the_history_is_shown_on_the_open_incident(browser, site):
    with opened(browser, site.address) as watched:
        page = watched.page
        watched.open("/incidents/a3")
        expect(page.get_by_text("Nobody has judged it yet.")).to_be_visible()
        page.get_by_label("Note").fill("half a note")
        site.write(said("a3", by="ben", verdict="true", why="a valve stuck"), topic="feedback")
        expect(page.locator("main")).to_contain_text("ben: right", timeout=PATIENCE)
        expect(page.locator("main")).to_contain_text("a valve stuck")
        expect(page.get_by_label("Note")).to_have_value("half a note")


def test_a_verdict_that_cannot_be_sent_is_not_lost_silently(browser, site):
    with opened(browser, site.address) as watched:
        page = watched.page
        watched.open("/incidents/a2")
        with page.expect_response(lambda answer: answer.request.method == "POST") as posted:
            page.get_by_role("button", name="Wrong").click()
        assert posted.value.status == 503
        expect(page.get_by_role("alert")).to_contain_text("Your verdict was not sent: no Kafka broker answers")
        watched.errors.clear()  # the browser notes the status of the answer


def test_a_page_says_when_the_service_does_not_answer(browser, site):
    with opened(browser, site.address) as watched:
        page = watched.page
        watched.open("/")
        page.route("**/fragments/**", lambda route: route.abort())
        expect(page.get_by_text("The service does not answer.")).to_be_visible(timeout=PATIENCE)
        page.unroute("**/fragments/**")
        expect(page.get_by_text("The service does not answer.")).to_have_count(0, timeout=PATIENCE)
        watched.errors.clear()  # the browser notes the request that failed


def test_a_page_says_when_the_service_hangs(browser, site):
    with opened(browser, site.address) as watched:
        page = watched.page
        watched.open("/")
        page.route("**/fragments/**", lambda _: None)  # no answer, and no error
        expect(page.get_by_text("The service does not answer.")).to_be_visible(timeout=PATIENCE)
        page.unroute("**/fragments/**")
        expect(page.get_by_text("The service does not answer.")).to_have_count(0, timeout=PATIENCE)
        watched.errors.clear()  # the browser notes the request that was given up


def test_a_page_whose_stream_was_refused_asks_for_it_again(browser, site):
    with opened(browser, site.address) as watched:
        page = watched.page
        page.route("**/v1/stream", lambda route: route.fulfill(status=503), times=1)
        is_stream = re.compile("/v1/stream$")
        with page.expect_response(is_stream, timeout=PATIENCE) as refused:
            watched.open("/")
        with page.expect_response(is_stream, timeout=PATIENCE) as again:
            pass
        assert (refused.value.status, again.value.status) == (503, 200)
        watched.errors.clear()  # the browser notes the status of the first answer


def test_a_page_is_loaded_anew_when_the_history_is_another_one(browser, site):
    with opened(browser, site.address) as watched:
        page = watched.page
        page.add_init_script("window.setInterval = () => 0")  # else the page looks by itself
        told = "id: 1\nevent: reset\ndata: {}\n\n"
        page.route("**/v1/stream", lambda route: route.fulfill(content_type="text/event-stream", body=told))
        with page.expect_request("**/fragments/now*", timeout=PATIENCE / 4):
            watched.open("/")


def test_tabs_that_nobody_sees_leave_the_connections_to_the_others(browser, site):
    """A browser opens six connections to a host, and each stream takes one."""
    with ExitStack() as tabs:
        context = browser.new_context(base_url=site.address)
        tabs.callback(context.close)
        for _ in range(8):
            page = context.new_page()
            page.goto("/", wait_until="domcontentloaded", timeout=PATIENCE / 4)
            page.evaluate(HIDE)
        page.evaluate(SHOW)
        site.write(change("c1", entity="pump-seen", severity="critical"))
        expect(page.get_by_role("link", name="pump-seen")).to_be_visible(timeout=PATIENCE)


def test_while_the_database_is_away_the_page_says_so_and_afterwards_it_goes_on(browser, tmp_path):
    with TemporaryDirectory(prefix="streamgauge-postgresql-") as folder, ExitStack() as started:
        server = PostgreSqlServer(Path(folder))
        started.callback(server.kill)
        site = Site(tmp_path, server.database())
        started.callback(site.engine.dispose)
        site.write(change("a1"))
        address = started.enter_context(served(site.engine))
        watched, other = (started.enter_context(opened(browser, address)) for _ in range(2))
        watched.open("/")
        server.kill()
        away = "he database does not answer; the service tries again by itself."
        expect(watched.page.get_by_role("alert")).to_contain_text(f"{away} What is shown may be old.", timeout=PATIENCE)
        expect(watched.page.get_by_role("link", name="pump-1")).to_be_visible()
        other.page.goto("/incidents/a1")
        expect(other.page.get_by_role("alert")).to_contain_text(away)
        server.start()
        site.write(change("a2", entity="pump-2"))
        expect(watched.page.get_by_role("link", name="pump-2")).to_be_visible(timeout=PATIENCE)
        expect(watched.page.get_by_role("alert")).to_have_count(0)
        other.open("/incidents/a1")
        for one in (watched, other):
            one.errors.clear()  # the browser notes the requests that failed


def test_many_open_incidents_can_be_scrolled_through(browser, tmp_path):
    many = Site(tmp_path)
    many.write(*(change(f"m{n:05}", entity=f"pump-{n:05}") for n in range(MANY)))
    with served(many.engine) as address, opened(browser, address) as watched:
        page = watched.page
        watched.open("/")
        expect(page.locator("h1")).to_have_text(f"{MANY} open incidents")
        assert watched.downloaded() <= MOST_BYTES
        expect(page.locator("tbody tr")).to_have_count(200)
        page.keyboard.press("End")
        page.get_by_role("link", name="Further ones").click()
        expect(page.get_by_role("navigation", name="Pages")).to_contain_text("Page 2 of 50")
        watched.open("/?page=50")
        page.keyboard.press("End")
        expect(page.get_by_role("link", name="Worse ones")).to_be_in_viewport()
        assert page.get_by_role("link", name="Further ones").count() == 0
        every = [page.request.get(f"/fragments/now?page={number}").text() for number in range(1, 51)]
        assert set(re.findall(r"/entities/(pump-\d+)", "".join(every))) == {f"pump-{n:05}" for n in range(MANY)}
    many.engine.dispose()
