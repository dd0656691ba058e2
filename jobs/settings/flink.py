"""How the commands reach Flink."""

from __future__ import annotations

from pydantic import Field, model_validator
from streamgauge.jobs.settings.kafka import FullPath
from streamgauge.udfs.settings.base import Section


class RestSettings(Section):
    """How the commands reach Flink's REST endpoint, or what stands before it. Tokens are no settings: a file or a variable holds them."""

    address: str | None = Field(
        None,
        pattern=r"^[^\s/:@]+:[0-9]{1,5}$",
        description="`HOST:PORT`; null is the local cluster. The option --jobmanager overrides it.",
    )
    tls: bool = Field(False, description="Whether connections are encrypted (https).")
    ca_file: FullPath | None = Field(
        None,
        description="Certificates (PEM) that the endpoint's is checked with; null is those of the system, and of Java.",
    )
    cert_file: FullPath | None = Field(None, description="Our own certificate (PEM), for mutual TLS.")
    key_file: FullPath | None = Field(None, description="Its key (PEM, not encrypted).")
    token_file: FullPath | None = Field(
        None, description="File with a token that is sent with each request (`Authorization: Bearer ...`)."
    )
    token_env: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable of the commands with that token instead.",
    )

    @model_validator(mode="after")
    def _fits(self) -> RestSettings:
        for key in ("ca_file", "cert_file", "key_file", "token_file", "token_env"):
            if getattr(self, key) is not None and not self.tls:
                raise ValueError(f"{key} needs tls: true; without it, everything travels unencrypted")
        if self.token_file is not None and self.token_env is not None:
            raise ValueError("only one of token_file and token_env may be set")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file needs key_file, and key_file needs cert_file")
        return self


class FlinkSettings(Section):
    """How the commands reach Flink. The job does not use these settings."""

    rest: RestSettings = RestSettings()
