"""How a schema registry is reached. Passwords and tokens are no settings, because settings travel with the job."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator
from streamgauge.udfs.settings.base import Duration, Section


def _address(url: str) -> str:
    """Check an address; the message does not show it, because it may hold a password."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid or any(character.isspace() for character in url) or parts.query or parts.fragment:
        raise ValueError("allowed is an address such as https://HOST/PATH or http://HOST:PORT")
    if "@" in parts.netloc:
        raise ValueError("it must hold no password: set user and password_env, or password_file")
    return url.rstrip("/")


_Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
_File = Annotated[str, Field(min_length=1)]


class RegistrySettings(Section):
    """A schema registry with the API of Confluent's (Confluent, Karapace, Redpanda, Apicurio)."""

    url: Annotated[str, AfterValidator(_address)] = Field(
        description="Where it is, such as `https://registry:8081`; Apicurio: `http://registry:8080/apis/ccompat/v7`.",
    )
    user: str | None = Field(
        None, min_length=1, description="User of basic authentication; null is none. It needs a password."
    )
    password_env: _Variable | None = Field(
        None,
        description="Name of the environment variable with the password. It must be set wherever events are read: on each TaskManager.",
    )
    password_file: _File | None = Field(
        None, description="File with the password, on each TaskManager. It is read anew each time it is needed."
    )
    token_env: _Variable | None = Field(
        None, description="Name of the environment variable with a bearer token, instead of a user."
    )
    token_file: _File | None = Field(None, description="File with a bearer token, instead of a user.")
    ca_file: _File | None = Field(
        None, description="Certificates (PEM) that the registry's is checked with; null is those of the system."
    )
    timeout: Duration = Field(10_000, ge=10, le=300_000, description="How long one answer may take.")
    retry_for: Duration = Field(
        120_000,
        ge=0,
        le=3_600_000,
        description="How long a registry that is away, or that refuses the user, is asked again. Then the task fails, and Flink "
        "reads the records again.",
    )
    schema_id: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="Schema of all records, if they do not begin with the id of theirs; null: each record has its id.",
    )

    @model_validator(mode="after")
    def _one_way_in(self) -> RegistrySettings:
        passwords = [self.password_env, self.password_file]
        secrets = [secret for secret in (*passwords, self.token_env, self.token_file) if secret is not None]
        if len(secrets) > 1:
            raise ValueError("only one of password_env, password_file, token_env and token_file may be set")
        if (self.user is not None) != any(secret is not None for secret in passwords):
            raise ValueError("user needs password_env or password_file, and they need user")
        return self
