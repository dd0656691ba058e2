"""Whose feedback the job believes, and how much of it."""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from streamgauge.udfs.settings.base import Section

Right = Literal["judge", "ignore"]


def _public_key(text: str) -> str:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ValueError("allowed is an Ed25519 public key: 32 bytes in base64 (docs/security.md)")
    return text


class FeedbackSettings(Section):
    """Whose feedback the job believes, and how much of it."""

    trusted_keys: tuple[Annotated[str, AfterValidator(_public_key)], ...] = Field(
        (),
        description="Ed25519 public keys in base64. If there are any, feedback counts only if one of them signed its alert. The job signs "
        "alerts with `sign_key_file` or `sign_key_env`.",
    )
    sign_key_file: str | None = Field(
        None,
        pattern=r"^/",
        description="File with the job's private key (PEM), on each TaskManager. Only the job reads it.",
    )
    sign_key_env: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable of each TaskManager with that key instead.",
    )
    people: dict[str, tuple[Right, ...]] | None = Field(
        None,
        description="Who may give feedback: `{ann: [judge, ignore]}`. judge: true and false; ignore: no alerts like it until a time. "
        "null: everybody may do both.",
    )
    by_person: int = Field(
        50,
        ge=1,
        le=1_000_000,
        description="Largest number of messages of one person on the alerts of one day (UTC) that count.",
    )
    by_all: int = Field(200, ge=1, le=1_000_000, description="The same, of all persons together.")

    @model_validator(mode="after")
    def _fits(self) -> FeedbackSettings:
        if self.sign_key_file is not None and self.sign_key_env is not None:
            raise ValueError("only one of sign_key_file and sign_key_env may be set")
        signs = self.sign_key_file is not None or self.sign_key_env is not None
        if signs != bool(self.trusted_keys):
            raise ValueError("trusted_keys needs sign_key_file or sign_key_env, and each of these needs trusted_keys")
        return self
