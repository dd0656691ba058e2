"""How `streamgauge serve` runs."""

from __future__ import annotations

from pydantic import Field, SecretStr
from streamgauge.udfs.settings.base import Duration, Section


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
        description="Whether POST /v1/score scores events, with the pipeline of the job in the service's process. It needs numba "
        "and the other numerical libraries.",
    )
    replay: int = Field(
        100_000, ge=0, description="With score: newest records of the topic of events that are learned at start."
    )
    keep: Duration = Field(
        7_776_000_000, ge=3_600_000, description="How long incidents are kept after their end arrived."
    )
