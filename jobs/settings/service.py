"""How `streamgauge serve` runs."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator
from streamgauge.udfs.settings.base import Duration, Hidden, Section

Scope = Literal["read", "feedback", "control"]
Rate = Annotated[str, Field(pattern=r"^[1-9]\d{0,8} per (second|minute|hour|day)$")]
# Keys and codes must not travel in the open; on this machine they may.
ADDRESS = r"^(https://[^\s/]|http://(localhost|127\.0\.0\.1|\[::1\])(:|/|$))\S*$"
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


class LimitSettings(Section):
    """How many requests one caller may send: a token, a person who is signed in, or else an address."""

    requests: Rate | None = Field("1200 per minute", description="All requests of one caller to the API and the page.")
    feedback: Rate | None = Field("60 per minute", description="Feedback of one caller.")
    sign_in: Rate | None = Field("20 per minute", description="Tries of one address to sign in on the page.")


class OidcSettings(Section):
    """A provider of OpenID Connect, whose people and programs may use the service beside those with a token."""

    issuer: Annotated[str, Hidden] = Field(
        repr=False,
        pattern=ADDRESS,
        description="Address of the provider, as its tokens name it (`iss`). It needs https, except on this machine.",
    )
    audience: str = Field(min_length=1, description="What tokens for the API must name as their audience (`aud`).")
    roles: dict[str, tuple[Scope, ...]] = Field(
        min_length=1, description="What each role may do: `{operators: [read, feedback]}`. Other roles may do nothing."
    )
    roles_claim: str = Field(
        "roles", min_length=1, description="Claim with the roles of a caller; `realm_access.roles` is one in another."
    )
    name_claim: str = Field(
        "sub",
        min_length=1,
        description="Claim with the name that feedback and the table `audit` show. Choose one that people cannot change, such as `sub`.",
    )
    leeway: Duration = Field(30_000, ge=0, le=300_000, description="How far the clocks may be apart.")
    client_id: str | None = Field(
        None,
        min_length=1,
        description="The page's name at the provider. With it and `service.address`, people sign in there; "
        "register that address with `/sign-in/oidc/answer` at the provider.",
    )
    client_secret: SecretStr | None = Field(
        None,
        description="The page's secret at the provider; null for a public client. "
        "Set it by the variable STREAMGAUGE__SERVICE__OIDC__CLIENT_SECRET.",
    )
    ask: str = Field("openid profile email", description="What the page asks the provider for (`scope`).")

    @field_validator("ask")
    @classmethod
    def _with_openid(cls, ask: str) -> str:
        if "openid" not in ask.split():
            raise ValueError("`openid` must be in it, or the provider gives no id token")
        return ask


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
    grpc_port: int | None = Field(
        None, ge=1, le=65_535, description="Port of the same API over gRPC, on the same address; null is none."
    )
    score: bool = Field(
        False,
        description="Whether POST /v1/score scores events, and the page of an incident finds out which values would not have opened it, "
        "with the pipeline of the job in the service's process. It needs numba and the other numerical libraries.",
    )
    replay: int = Field(
        100_000, ge=0, description="With score: newest records of the topic of events that are learned at start."
    )
    keep: Duration = Field(
        7_776_000_000, ge=3_600_000, description="How long incidents are kept after their end arrived."
    )
    scores_keep: Duration = Field(
        604_800_000,
        ge=3_600_000,
        le=7_776_000_000,
        description="How long scores of events are kept after their arrival, if `output.scores` is not `none`. Whole days are removed.",
    )
    scores_thin_after: Duration | None = Field(
        None,
        ge=3_600_000,
        description="After this time, of each entity and hour only the event with the largest score is kept, with the number of events "
        "that it stands for. Whole days are thinned. It must be shorter than `scores_keep`; null thins none.",
    )
    limits: LimitSettings = LimitSettings()
    redis: SecretStr | None = Field(
        None,
        description="`redis://:PASSWORD@HOST:PORT/NUMBER`, or `rediss://` with TLS: several services count requests together, and tell "
        "each other of changes at once. null: each by itself. Set it by the variable STREAMGAUGE__SERVICE__REDIS.",
    )
    address: Annotated[str, AfterValidator(_http), Hidden] | None = Field(
        None,
        repr=False,
        description="Where people reach the page, such as `https://streamgauge.example.com`; for links in what is told, and for `oidc`.",
    )
    oidc: OidcSettings | None = Field(None, description="Who else may use the service, by OpenID Connect.")
    traces: Annotated[str, AfterValidator(_http), Hidden] | None = Field(
        None,
        repr=False,
        description="Collector of OpenTelemetry (OTLP over HTTP) for traces, such as `http://127.0.0.1:4318`.",
    )
    alertmanagers: dict[_Name, TargetSettings] = Field(
        {}, description="Alertmanagers that are told of incidents; each one of a cluster."
    )
    webhooks: dict[_Name, WebhookSettings] = Field({}, description="Programs that are told of changes of incidents.")

    @field_validator("scores_thin_after")
    @classmethod
    def _before_removal(cls, after: int | None, others: ValidationInfo) -> int | None:
        keep = others.data.get("scores_keep")
        if after is not None and keep is not None and after >= keep:
            raise ValueError("must be shorter than service.scores_keep: after that, scores are removed")
        return after

    @field_validator("oidc")
    @classmethod
    def _with_address(cls, oidc: OidcSettings | None, others: ValidationInfo) -> OidcSettings | None:
        address = others.data.get("address")
        if oidc is not None and oidc.client_id is not None and (address is None or not re.match(ADDRESS, address)):
            raise ValueError(
                "client_id needs service.address, with https except on this machine: people come back to it"
            )
        return oidc

    @property
    def targets(self) -> dict[str, TargetSettings]:
        """All that are told of incidents, by their place below `service`, such as ``webhooks.on_call``."""
        found: dict[str, TargetSettings] = {f"alertmanagers.{name}": one for name, one in self.alertmanagers.items()}
        return found | {f"webhooks.{name}": one for name, one in self.webhooks.items()}
