"""The image of a series: the entity, its peers, and where the incident is."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from streamgauge.jobs.service.scores import Curve
from streamgauge.jobs.service.series import Series, svg, svg_of_scores, svg_of_words
from streamgauge.udfs.events.time import rfc3339

from tests.jobs.service.made import START

INCIDENT = {
    "field": "<flow>",
    "first": {"window": {"from": rfc3339(START + 60_000)}, "expected": {"<flow>": 5.0}},
    "last": {"window": {"to": rfc3339(START + 120_000)}},
}
TIMES = [START + 10_000 * n for n in range(30)]


def drawn(peers):
    series = Series(TIMES, [float(n % 10) for n in range(30)], peers)
    return ElementTree.fromstring(svg(series, INCIDENT))


def of_class(image, name):
    return [one for one in image.iter() if one.get("class") == name]


def test_the_entity_its_incident_and_the_expected_value_are_drawn():
    image = drawn([])
    assert [len(of_class(image, name)) for name in ("line", "incident", "usual", "peers")] == [1, 1, 1, 0]
    assert "<flow>: 0 to 9" in "".join(image.itertext())


def test_peers_are_a_band_as_far_as_they_are_near():
    peers = [(TIMES[0], 2.0, 4.0), (TIMES[10], 1.0, 30.0), (TIMES[20], 1e9, 2e9)]
    [band] = of_class(drawn(peers), "peers")
    points = [tuple(map(float, point.split(","))) for point in band.get("points").split()]
    assert len(points) == 4  # the last one is far away
    assert all(24.0 <= y <= 196.0 for _, y in points)
    assert of_class(drawn([(TIMES[20], 1e9, 2e9)]), "peers") == []


def test_why_there_is_no_series_is_said():
    assert re.search("no &lt;series&gt;", svg_of_words("no <series>"))


def test_scores_are_drawn_from_0_to_1_with_the_threshold_and_the_incident():
    rows = [{"time": time, "score": value} for time, value in zip(TIMES, (None, *[0.5] * 28, 1.0), strict=True)]
    image = ElementTree.fromstring(svg_of_scores(Curve(rows, 1e-3, True), (TIMES[3], TIMES[5])))
    [line], [threshold] = of_class(image, "line"), of_class(image, "usual")
    points = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
    assert len(points) == 29  # an event that could not be judged has no score
    assert (points[0][1], points[-1][1]) == (110.0, 24.0)
    assert threshold.get("y1") == threshold.get("y2") == "67.0"  # 0.75
    assert len(of_class(image, "incident")) == 1
    bare = ElementTree.fromstring(svg_of_scores(Curve(rows[1:2], None, True)))
    assert [len(of_class(bare, name)) for name in ("line", "usual", "incident")] == [1, 0, 0]
