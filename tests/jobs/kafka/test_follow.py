"""Which alerts are shown to somebody who follows them."""

from __future__ import annotations

from streamgauge.jobs.kafka.follow import wanted

from tests.jobs.service.made import change


def shown(*alerts, entity=None, severity="high"):
    heard: set[str] = set()
    found = [alert["id"] for alert in alerts if wanted(alert, entity, severity, heard)]
    return found, heard


def test_an_incident_is_shown_from_its_severity_on_and_to_its_end():
    alerts = [
        change("a1", severity="low"),
        change("a1", "updated", 1, severity="critical"),
        change("a2", severity="medium"),
        change("a1", "updated", 2, severity="low"),
        change("a2", "resolved", 3, severity="medium"),
        change("a1", "resolved", 3, severity="low"),
        change("a3"),
    ]
    assert shown(*alerts) == (["a1-updated-1", "a1-updated-2", "a1-resolved-3", "a3-opened-0"], {"a3"})


def test_only_alerts_about_the_entity_are_shown():
    alerts = [change("a1"), change("a2", entity="fan"), change("a2", "resolved", 1, entity="fan", severity="low")]
    assert shown(*alerts, entity="fan") == (["a2-opened-0", "a2-resolved-1"], set())
