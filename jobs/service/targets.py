"""What an Alertmanager and a webhook are told of a change, as HTTP requests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from streamgauge.jobs.service.answers import number
from streamgauge.jobs.service.messages import LATEST
from streamgauge.jobs.settings.service import SIGNED, ServiceSettings, TargetSettings, WebhookSettings
from streamgauge.models.errors import InputError
from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.incidents.kinds import ENDED, SEVERITIES

ALERT = "StreamgaugeIncident"  # label alertname of all incidents
LASTS = 600_000  # milliseconds after which an Alertmanager takes an incident for ended if it hears nothing more of it


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an incident, with what is told beside it.

    Attributes
    ----------
    number : int
    event_id, alert_id, state : str
    time : int
        Event time, milliseconds since 1970.
    data : dict
        The data of the alert.
    opened : int
        Event time at which the incident opened, milliseconds since 1970.
    field : str or None
        The field with the largest share in the event that opened it.
    first : dict
        The data of the incident's first change.
    before : dict or None
        The data of the change before this one.
    heard : bool
        Whether an earlier change was severe enough for the target.
    """

    number: int
    event_id: str
    alert_id: str
    state: str
    time: int
    data: dict[str, Any]
    opened: int
    field: str | None
    first: dict[str, Any]
    before: dict[str, Any] | None = None
    heard: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A POST request.

    Attributes
    ----------
    url : str
    headers : dict
    body : bytes
    """

    url: str
    headers: dict[str, str]
    body: bytes


class Target:
    """Who is told.

    Parameters
    ----------
    name : str
        Its place below `service` in the settings.
    settings : TargetSettings
    page : str, optional
        Where people reach the page.

    Attributes
    ----------
    name : str
    repeats : bool
        Whether open incidents must be told again and again.
    """

    repeats = False

    def __init__(self, name: str, settings: TargetSettings, page: str | None) -> None:
        self.name, self.settings = name, settings
        self._url, self._page = settings.url.get_secret_value(), page

    def wants(self, change: Change) -> bool:
        """Whether a change is severe enough to be told. Who was told of an incident is told all of it, or would never hear of its end."""
        return change.heard or change.data["severity"] in at_least(self.settings.severity)

    def message(self, change: Change) -> Message:
        """The request that tells of a change."""
        raise NotImplementedError

    def link(self, change: Change) -> str | None:
        """Where the page shows the incident; None if the settings do not say where the page is."""
        if self._page is None:
            return None
        return f"{self._page.rstrip('/')}/incidents/{quote(change.alert_id, safe='')}"


class Alertmanager(Target):
    """An Alertmanager, told by its API version 2. It forgets alerts of which it hears nothing, so open incidents are repeated."""

    repeats = True

    def message(self, change: Change) -> Message:
        """The incident after a change, and the end of the alert before it if its labels are others now."""
        now = int(time.time() * 1000)
        alerts = [self._alert(change, change.data, change.state in ENDED, now)]
        if change.before is not None and labels(change, change.before) != labels(change, change.data):
            alerts.insert(0, self._alert(change, change.before, True, now))
        return self._post(alerts)

    def repeat(self, changes: Sequence[Change]) -> Message:
        """The request that tells once more that incidents are open; each is given by its last change."""
        now = int(time.time() * 1000)
        return self._post([self._alert(change, change.data, False, now) for change in changes])

    def _post(self, alerts: list[dict[str, Any]]) -> Message:
        url = f"{self._url.rstrip('/')}/api/v2/alerts"
        return Message(url, {"Content-Type": "application/json"}, _json(alerts))

    def _alert(self, change: Change, data: dict[str, Any], ended: bool, now: int) -> dict[str, Any]:
        """An alert. Events may have any time, but an alert must not begin or end in the future, or end before it begins."""
        starts = min(change.opened, now)
        ends = max(starts, min(change.time, now)) if ended else now + LASTS
        alert = {
            "labels": labels(change, data),
            "annotations": {"summary": sentence(change)},
            "startsAt": rfc3339(starts),
            "endsAt": rfc3339(ends),
        }
        link = self.link(change)
        return alert if link is None else alert | {"generatorURL": link}


class Webhook(Target):
    """A program that takes signed requests, as the specification Standard Webhooks describes them.

    Raises
    ------
    InputError
        It has no secret.
    """

    def __init__(self, name: str, settings: WebhookSettings, page: str | None) -> None:
        super().__init__(name, settings, page)
        if settings.secret is None:
            variable = f"STREAMGAUGE__SERVICE__{name.replace('.', '__').upper()}__SECRET"
            raise InputError(f"service.{name}.secret is null: a webhook needs one; set it by the variable {variable}")
        self._key = base64.b64decode(settings.secret.get_secret_value().removeprefix(SIGNED))

    def message(self, change: Change) -> Message:
        """The change, with a signature over its id, the time of sending, and the body."""
        event, identity = f"incident.{change.state}", quote(change.event_id, safe="").replace(".", "%2E")
        data = {"number": change.number, "summary": sentence(change), "page": self.link(change), "alert": change.data}
        body = _json({"type": event, "timestamp": rfc3339(min(max(change.time, 0), LATEST)), "data": data})
        sent = str(int(time.time()))
        signed = hmac.digest(self._key, f"{identity}.{sent}.".encode() + body, hashlib.sha256)
        headers = {
            "Content-Type": "application/json",
            "Webhook-Id": identity,
            "Webhook-Event": event,
            "Webhook-Timestamp": sent,
            "Webhook-Signature": f"v1,{base64.b64encode(signed).decode()}",
        }
        return Message(self._url, headers, body)


def at_least(severity: str) -> tuple[str, ...]:
    """A severity and those above it."""
    return SEVERITIES[SEVERITIES.index(severity) :]


def targets_of(settings: ServiceSettings) -> list[Target]:
    """All that are told of incidents.

    Raises
    ------
    InputError
        A webhook has no secret.
    """
    return [
        Webhook(name, one, settings.address)
        if isinstance(one, WebhookSettings)
        else Alertmanager(name, one, settings.address)
        for name, one in settings.targets.items()
    ]


def labels(change: Change, data: dict[str, Any]) -> dict[str, str]:
    """The labels of an incident at one of its changes. `incident` keeps two incidents of one entity apart."""
    return {
        "alertname": ALERT,
        "incident": change.alert_id,
        "entity": data["entity"],
        "kind": data["kind"],
        "severity": data["severity"],
        "group": (change.first.get("group") or {}).get("id") or change.alert_id,
        "stream": str(data["source"].get("topic") or ""),
    }


def sentence(change: Change) -> str:
    """What came, and what was expected, when the incident opened."""
    first, entity = change.first, change.data["entity"]
    if change.field is None:
        broken = ", ".join(first.get("rules", ()))
        return f"{entity} broke the rules {broken}" if broken else f"{entity} is unusual"
    came, usual = first["actual"].get(change.field), first["expected"].get(change.field)
    expected = "what was expected is not known" if usual is None else f"expected was {number(usual)}"
    return f"{entity}: {change.field} was {number(came)}, {expected}"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
