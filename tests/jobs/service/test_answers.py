"""What is answered of an incident: why it opened, and the values around it."""

from __future__ import annotations

from streamgauge.jobs.service.answers import explanation_of, moment, series_of
from streamgauge.jobs.service.queries import Queries
from streamgauge.jobs.service.series import NO_SERIES, Series

from tests.jobs.service.made import START, change, records


def incident(history, database, **more):
    """The incident a1, which had two more anomalous events."""
    window = {"from": moment(START).isoformat(), "to": moment(START + 60_000).isoformat(), "anomalous_events": 3}
    last = change(state="updated", minute=1, window=window, actual={"flow": 12.0})
    history.write(records(change(**more), last), {})
    return Queries(database).incident("a1")


def test_the_fields_that_made_an_incident_come_with_what_was_seen_and_expected_the_largest_share_first(
    history, database
):
    shares = {"a": 0.1, "b": 0.2, "longer": 0.7}
    given = {"actual": {"a": 1.0, "b": "open", "longer": 9.0}, "expected": {"a": 2.0, "b": None, "longer": 4.0}}
    found = explanation_of(incident(history, database, contributions=shares, rules=["limit"], **given))
    assert [(one.field, one.share, one.actual, one.expected) for one in found.fields] == [
        ("longer", 0.7, 9.0, 4.0),
        ("b", 0.2, "open", None),
        ("a", 0.1, 1.0, 2.0),
    ]
    assert (found.tail_probability, found.threshold, found.anomalous_events) == (1e-9, 1e-4, 3)
    assert (found.rules, found.agreed, found.disagreed) == (["limit"], ["levels"], [])


def test_an_alert_without_a_threshold_is_explained(history, database):
    message = change()
    del message["data"]["threshold"]
    history.write(records(message), {})
    assert explanation_of(Queries(database).incident("a1")).threshold is None


def test_the_values_around_an_incident_keep_their_peaks(history, database):
    values = [99.0 if n == 1234 else 50.0 + n % 2 for n in range(3_000)]
    drawn = Series([START + n for n in range(3_000)], values, [(START, 1.0, 2.0)])
    found = series_of(incident(history, database), drawn)
    assert (found.field, found.expected, found.missing) == ("flow", 55.0, None)
    assert (found.began, found.ended) == (moment(START), moment(START + 60_000))
    assert len(found.values) <= 800
    assert (moment(START + 1234), 99.0) in [(one.time, one.value) for one in found.values]
    assert [(one.time, one.low, one.high) for one in found.peers] == [(moment(START), 1.0, 2.0)]


def test_why_there_are_no_values_is_said(history, database):
    found = series_of(incident(history, database), None)
    assert (found.values, found.peers, found.missing) == ([], [], NO_SERIES)
