"""Writes the pictures of the page in docs/images, from a history of made-up incidents: ``python -m tests.jobs.service.screenshots``."""

from __future__ import annotations

import io
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from streamgauge.jobs.service import page as pages
from streamgauge.jobs.service.series import Series

from tests.browser import chromium, opened
from tests.jobs.service.made import change, compared, report, said, step
from tests.jobs.service.test_browser import Site, served

IMAGES = Path(__file__).parents[3] / "docs" / "images"
COLOURS, MOST = 64, 100_000  # of a picture, and bytes
NOW = round(time.time() * 1000)
MINUTE, WEEK = 60_000, 7 * 24 * 60


def at(minute: float) -> str:
    """A time, in minutes from now."""
    return datetime.fromtimestamp(NOW / 1000 + 60 * minute, UTC).isoformat(timespec="milliseconds")


def moved(message: dict[str, Any], minute: float) -> dict[str, Any]:
    """A notice at another time."""
    return message | {"time": at(minute), "id": f"{message['id']} {minute}"}


def incident(alert_id: str, entity: str, minute: float, **more: Any) -> dict[str, Any]:
    """An incident that opened so many minutes from now."""
    window = {"from": at(minute), "to": at(minute), "anomalous_events": 1}
    return change(alert_id, entity=entity, window=window, **more)


def values(field: str, actual: float, expected: float, share: float = 0.9) -> dict[str, Any]:
    """The fields of an alert."""
    facts = {"actual": {field: actual, "flow": 54.8}, "expected": {field: expected, "flow": 55.0}}
    return facts | {"contributions": {field: share, "flow": round(1 - share, 2)}}


def fill(site: Site) -> None:
    """Write a history of some weeks."""
    root = {"entity": "pump-07", "field": "pressure", "time": at(-14)}
    group = {"group": {"id": "a1", "incidents": 3, "root": root}}
    site.write(
        incident("a1", "pump-07", -14, **group, **values("pressure", 9.7, 4.1), severity="critical"),
        incident("a2", "pump-08", -13, **group, **values("pressure", 7.9, 4.0)),
        incident("a3", "valve-2", -12, **group, **values("angle", 3.0, 41.0), severity="medium", kind="collective"),
        incident("a4", "fan-11", -95, **values("vibration", 0.82, 0.31), kind="drift", confidence=1.0),
        incident("a5", "boiler-3", -240, **values("heat", 71.5, 88.0), severity="low", kind="relative"),
    )
    for n in range(60):
        kind, name = ("point", "drift", "collective")[n % 3], f"p{n}"
        opened = incident(
            name, f"pump-{n % 30:02}", -WEEK * 4 * (n + 1) / 60, kind=kind, **values("pressure", 8.0, 4.0)
        )
        site.write(opened, opened | {"id": f"{name} end", "data": opened["data"] | {"state": "resolved"}})
        if n % 2:
            verdict = "false" if n % 12 == 1 else "true"
            site.write(said(name, verdict=verdict, kind=kind, field="pressure"), topic="feedback")
    probes = [(kind, n % 9 != 0) for n in range(12) for kind in ("point", "drift", "collective", "relative")]
    for n, probe in enumerate(probes):
        told = report(n % 4, n, probe, models={"pumps": "4", "pumps shadow": "5"})
        site.write(moved(told, -WEEK * 4 * (len(probes) - n) / len(probes)), topic="notices")
    figures = {"separates_planted": 0.94, "live_separates_planted": 0.91, "us_per_event": 3.1, "live_us_per_event": 2.8}
    slow = figures | {"separates_planted": 0.95, "us_per_event": 19.4}
    steps = [
        step("trained", 1, version=5, detector="isolation_forest", rows=50_000, reason="columns"),
        step("trained", 2, version=6, detector="autoencoder", rows=50_000, reason="columns"),
        step("rejected", 3, version=6, gate="cost", why="it is slower than the live version", **slow),
        step("shadowed", 4, version=5, live=4, **figures),
    ]
    site.write(*(moved(one, n - 200) for n, one in enumerate(steps)), topic="notices")
    counts = {"live": 4, "shadow": 5, "probes": 60, "live_right": 47, "shadow_right": 52}
    site.write(moved(compared(**counts), -20), topic="notices")


def series(*_: Any) -> Series:
    """Values around an incident. No topic is there to read them from."""
    random = np.random.default_rng(3)
    times = [NOW + round(MINUTE * m) for m in np.arange(-60.0, 0.0, 0.25)]
    usual = 4.0 + 0.5 * np.sin(np.arange(240) / 12) + random.normal(0, 0.12, 240)
    usual[184:] += np.minimum(np.arange(56) / 4, 5.7)
    peers = [(times[4 * n + 2], 3.4 + 0.4 * np.sin(n / 3), 4.6 + 0.4 * np.sin(n / 3)) for n in range(60)]
    return Series(times, usual.tolist(), peers)


def main() -> None:
    """Write the pictures."""
    pages.around = series  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        fill(site)
        views = (("now", "/", "light"), ("incident", "/incidents/a1", "light"), ("quality", "/quality", "light"))
        with served(site.engine) as address, chromium() as browser:
            for name, view, scheme in (*views, ("models", "/models", "dark")):
                with opened(browser, address, color_scheme=scheme, viewport={"width": 1080, "height": 800}) as watched:
                    watched.page.goto(view)
                    watched.page.evaluate("document.querySelectorAll('.problem').forEach((one) => one.remove())")
                    save(watched.page.screenshot(), IMAGES / f"page-{name}.png")
        site.engine.dispose()


def save(picture: bytes, path: Path) -> None:
    """Write a picture with few colours."""
    small = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS).save(small, "PNG", optimize=True)
    assert len(small.getvalue()) <= MOST, f"{path.name} has {len(small.getvalue())} bytes, allowed are {MOST}"
    path.write_bytes(small.getvalue())


if __name__ == "__main__":
    main()
