"""The manifest of a trained model: everything that is needed to use it, and to know where it comes from."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from streamgauge.models.errors import ModelError

FORMAT = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class History(_Part):
    """The data that a model was trained on.

    Attributes
    ----------
    source : str
        Files, or topic and offsets.
    rows : int
    first, last : int or None
        Event times, milliseconds since 1970.
    low, high : list of float
        Range of each feature, without labelled anomalies.
    licence : str
        Of the data.
    left_out : str
        What was left out of it, and why.
    """

    source: str
    rows: int
    first: int | None = None
    last: int | None = None
    low: list[float | None]
    high: list[float | None]
    licence: str = "not stated"
    left_out: str = ""


class Distribution(_Part):
    """How each feature of the training data was distributed (`models.evaluation.drift.Reference`).

    Attributes
    ----------
    edges, shares : list of list of float
        Of each feature.
    """

    edges: list[list[float]]
    shares: list[list[float]]


class Variant(_Part):
    """A form that a version comes in: only ``full`` is used; earlier releases also wrote ``int8`` and ``student``.

    Attributes
    ----------
    files : dict
        SHA-256 by name.
    size : int
        Bytes of all files.
    figures : dict
        What it costs, and how well it separates synthetic anomalies from validation data.
    """

    files: dict[str, str]
    size: int
    figures: dict[str, float | None] = Field(default_factory=dict)


class Manifest(_Part):
    """One version of a model; never changed once it is published.

    Attributes
    ----------
    features : list of str
        In the order that the detector takes them.
    steps : int
        Events of an entity that are scored together; 1 if each is scored by itself.
    centre, scale : list of float
        Normalisation of each feature.
    curve : list of dict
        Losses by epoch.
    memory : int
        Bytes that the full variant needs when loaded, predicted before it was made.
    parent : int or None
        Version that this one replaces.
    request : str or None
        Retrain request that it answers.
    distribution, distribution_of_scores : Distribution or None
        Of the training data, and of the raw scores of the validation data (one row); drift is measured against them.
    signature, key : str or None
        Ed25519, base64: of all the rest, and the public key that fits it.
    """

    format: int = FORMAT
    name: str
    version: int = 0
    detector: str
    settings: dict[str, Any]
    features: list[str]
    steps: int
    centre: list[float]
    scale: list[float]
    history: History
    seed: int
    chosen: dict[str, Any] = Field(default_factory=dict)
    curve: list[dict[str, float | None]] = Field(default_factory=list)
    figures: dict[str, float | None] = Field(default_factory=dict)
    memory: int
    parent: int | None = None
    request: str | None = None
    distribution: Distribution | None = None
    distribution_of_scores: Distribution | None = None
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    libraries: dict[str, str] = Field(default_factory=dict)
    variants: dict[str, Variant] = Field(default_factory=dict)
    signature: str | None = None
    key: str | None = None

    @model_validator(mode="after")
    def _of_equal_length(self) -> Manifest:
        lists: dict[str, list[Any]] = {"centre": self.centre, "scale": self.scale}
        lists |= {"history.low": self.history.low, "history.high": self.history.high}
        if self.distribution is not None:
            lists |= {"distribution.edges": self.distribution.edges, "distribution.shares": self.distribution.shares}
        for key, numbers in lists.items():
            if len(numbers) != len(self.features):
                raise ValueError(f"{key} has {len(numbers)} entries for {len(self.features)} features")
        return self

    def signed_part(self) -> bytes:
        """The bytes that are signed: everything but the signature, in one normal form; missing values are left out."""
        return json.dumps(
            self.model_dump(mode="json", exclude={"signature"}, exclude_none=True), sort_keys=True
        ).encode()

    @classmethod
    def parse(cls, text: bytes, where: str) -> Manifest:
        """A manifest from its JSON.

        Raises
        ------
        ModelError
            It is damaged, or of a newer format.
        """
        try:
            plain = json.loads(text)
            found = plain.get("format")
        except (ValueError, AttributeError, RecursionError) as error:
            raise ModelError(f"the manifest of {where} is damaged: {error}") from error
        if isinstance(found, int) and found > FORMAT:
            raise ModelError(
                f"the manifest of {where} has format {found}, this code reads {FORMAT}: upgrade Streamgauge"
            )
        try:
            return cls.model_validate(plain)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise ModelError(f"the manifest of {where} is damaged: {key}: {first['msg']}") from error


def named(name: str) -> str:
    """`name`, if it can be a model's; ModelError says what is allowed."""
    if not NAME.fullmatch(name):
        raise ModelError(f"{name!r} cannot be the name of a model: letters, digits, '.', '_' and '-', 100 at most")
    return name
