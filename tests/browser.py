"""A real browser for tests: Debian's Chromium, and pages that note what goes wrong on them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

GRAVE = ("serious", "critical")
PATIENCE = (
    60_000.0  # milliseconds that the browser waits for what must come; no result depends on how long something takes
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser."""
    program = shutil.which("chromium")
    if program is None:
        raise RuntimeError("the browser Chromium is needed: ./install.sh dev installs it")
    with sync_playwright() as playwright:
        # As root, Chromium runs only without its sandbox. It opens only pages of the service under test here.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page that notes errors, and what it loads.

    Parameters
    ----------
    browser : Browser
    address : str
        Of the service, such as ``http://127.0.0.1:8080``.
    options : dict
        Of the browser's context, such as ``color_scheme``.

    Attributes
    ----------
    page : Page
    errors : list of str
        Errors on the console and in scripts.
    hosts : set of str
        Hosts from which something was loaded.
    """

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self._context = browser.new_context(base_url=address, **options)
        self._context.set_default_timeout(PATIENCE)
        self.page: Page = self._context.new_page()
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self._loaded: list[Any] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.on("requestfinished", self._keep)

    def _note(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{message.type}: {message.text}")

    def _keep(self, request: Any) -> None:
        self._loaded.append(request)

    def open(self, path: str) -> None:
        """Open a page. It does not wait for images, which may need Kafka."""
        answer = self.page.goto(path, wait_until="domcontentloaded")
        assert answer is not None
        assert answer.ok, answer.status_text

    def downloaded(self) -> int:
        """Bytes that were loaded so far, headers included."""
        sizes = [request.sizes() for request in self._loaded]
        return sum(one["responseBodySize"] + one["responseHeadersSize"] for one in sizes)

    def flaws(self) -> list[str]:
        """What axe finds on the page that is serious or critical."""
        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {node['html']}" for one in found if one["impact"] in GRAVE for node in one["nodes"]]

    def close(self) -> None:
        """Close the page."""
        self._context.close()


@contextmanager
def opened(browser: Browser, address: str, **options: Any) -> Iterator[Watched]:
    """A page of a service that must load nothing from elsewhere, and have no errors; see `Watched`."""
    watched = Watched(browser, address, **options)
    try:
        yield watched
        assert watched.errors == []
        assert watched.hosts <= {urlsplit(address).netloc}
    finally:
        watched.close()
