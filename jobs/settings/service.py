"""How `streamgauge serve` runs."""

from __future__ import annotations

import base64
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from streamgauge.udfs.settings.base import Duration, Section

SIGNED = "whsec_"  # how keys of webhooks begin, as the specification Standard Webhooks says


def _http(url: str) -> str:
    """Check an address; the message does not show it, because it may hold a password."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid or any(character.isspace() for character in url):
        raise ValueError("allowed is an address such as https://HOST/PATH or http://HOST:PORT")
    return url


def _secret_http(url: SecretStr) -> SecretStr:
    _http(url.get_secret_value())
    return url


def _signing_key(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(SIGNED), validate=True)
    except ValueError:
        key = b""
    if not text.startswith(SIGNED) or not 24 <= len(key) <= 64:
        raise ValueError(
            f"allowed is {SIGNED} and 24 to 64 random bytes in base64 (`openssl rand -base64 32` makes them)"
        )
    return secret


class TargetSettings(Section):
    """An Alertmanager that is told of incidents; NAME is small letters, digits and single `_`."""

    url: Annotated[SecretStr, AfterValidator(_secret_http)] = Field(
        description="Where it is, such as `http://alertmanager:9093` (the service adds `/api/v2/alerts`).",
    )
    severity: Literal["low", "medium", "high", "critical"] = Field(
        "low", description="Incidents are told from this severity on."
    )


class WebhookSettings(TargetSettings):
    """A program that is told of changes of incidents by signed HTTP requests; NAME is small letters, digits and single `_`."""

    url: Annotated[SecretStr, AfterValidator(_secret_http)] = Field(description="Where requests are sent.")
    secret: Annotated[SecretStr, AfterValidator(_signing_key)] | None = Field(
        None,
        description="Key of the signatures: `whsec_` and 24 to 64 bytes in base64. The service needs it. Set it by the variable "
        "STREAMGAUGE__SERVICE__WEBHOOKS__NAME__SECRET.",
    )


_Name = Annotated[str, Field(pattern=r"^[a-z](_?[a-z0-9]){0,39}$")]


class ServiceSettings(Section):
    """The service with the history, the HTTP API and the page. The job does not use these settings."""

    database: SecretStr | None = Field(
        None,
        description="`postgresql://USER:PASSWORD@HOST/NAME`, or `sqlite:///FILE`; null is the file history.db in the home folder. "
        "Set one with a password by the variable STREAMGAUGE__SERVICE__DATABASE.",
    )
    token: SecretStr | None = Field(
        None,
        min_length=20,
        description="A token with all scopes that is made at start, by the name `first`: for images, where nobody can type a command "
        "before. Set it by the variable STREAMGAUGE__SERVICE__TOKEN.",
    )
    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on. Another one than this machine's own needs a token.",
    )
    port: int = Field(8080, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    keep: Duration = Field(
        7_776_000_000, ge=3_600_000, description="How long incidents are kept after their end arrived."
    )
    address: Annotated[str, AfterValidator(_http)] | None = Field(
        None,
        description="Where people reach the page, such as `https://streamgauge.example.com`; for links in what is told.",
    )
    alertmanagers: dict[_Name, TargetSettings] = Field(
        {}, description="Alertmanagers that are told of incidents; each one of a cluster."
    )
    webhooks: dict[_Name, WebhookSettings] = Field({}, description="Programs that are told of changes of incidents.")

    @property
    def targets(self) -> dict[str, TargetSettings]:
        """All that are told of incidents, by their place below `service`, such as ``webhooks.on_call``."""
        found: dict[str, TargetSettings] = {f"alertmanagers.{name}": one for name, one in self.alertmanagers.items()}
        return found | {f"webhooks.{name}": one for name, one in self.webhooks.items()}
