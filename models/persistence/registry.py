"""The registry of trained models: immutable versions and movable aliases, on any file system that fsspec knows.

Under the root, each model has ``NAME/files/SHA256`` (contents, by what they are), ``NAME/versions/NUMBER.json`` (manifests, which
name their files) and ``NAME/aliases/ALIAS.json``. A version exists once its manifest does, which is put there in one step after
all files: a reader never finds half of it, and each of two writers gets a number of its own. A request to retrain that waits is in
``NAME/waiting.json``; ``NAME/unfinished`` has the state of trainings that have not ended.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from streamgauge.models.calibration.calibration import TailCalibrator
from streamgauge.models.catalog import LOADED, why_unknown
from streamgauge.models.contract import MOST_BYTES
from streamgauge.models.detectors.fitted.fitted_detector import FittedDetector
from streamgauge.models.errors import ModelError, StateError
from streamgauge.models.evaluation.drift import Reference
from streamgauge.models.lazy_modules import load_module
from streamgauge.models.persistence.aliases import Entry, is_signed, older, signed_entry
from streamgauge.models.persistence.manifest import NAME, Manifest, Variant, named
from streamgauge.models.persistence.stored_files import StoredFiles
from streamgauge.models.persistence.unfinished import Unfinished

CALIBRATOR = "calibrator.bin"
GRACE = 3600.0  # seconds for which files that no manifest names are kept: who wrote them may not have finished
MOST_UNFINISHED = 3 * MOST_BYTES  # weights and what is known of each while they are trained
KEPT_HISTORY = 50  # earlier versions that an alias remembers
SUFFIX = ".json"
ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,99}")
WAITING = "waiting.json"
SCORE = "(score)"  # name of the row of a reference for the model's raw scores


@dataclass(frozen=True)
class LoadedModel:
    """A version, ready to score.

    Attributes
    ----------
    manifest : Manifest
    variant : str
    detector : FittedDetector
    calibrator : TailCalibrator
        It has learned the raw scores of the validation data.
    reference : Reference or None
        How its raw scores were distributed on the validation data, and the fields of its training data.
    watched : list of str
        Name of each row of the reference.
    """

    manifest: Manifest
    variant: str
    detector: FittedDetector
    calibrator: TailCalibrator
    reference: Reference | None = None
    watched: tuple[str, ...] = ()


class Registry:
    """Versions and aliases of trained models.

    Parameters
    ----------
    url : str
        A folder, or any URL of fsspec's: ``file:///models``, ``s3://bucket/models``.
    trusted_keys : sequence of str
        Ed25519 public keys, base64. If there are any, a version or an alias that none of them signed is refused, and so is an older
        text of an alias than one that was read before.
    sign_key : Path, optional
        Ed25519 private key in PEM, to sign versions and aliases with.
    """

    def __init__(self, url: str, trusted_keys: tuple[str, ...] = (), sign_key: Path | None = None) -> None:
        self.files = StoredFiles(url)
        self.url = self.files.url
        self.trusted_keys = trusted_keys
        self.sign_key = sign_key
        self._serials: dict[tuple[str, str], int] = {}  # the largest that was read of each alias

    # ---- looking ------------------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Names of all models. Beside their folders there may be other things, such as ``lost+found`` on a volume of its own."""
        return [name for name in self.files.listed("") if NAME.fullmatch(name) and self.files.is_folder(name)]

    def versions(self, name: str) -> list[int]:
        """Versions of a model, oldest first."""
        found = self.files.listed(f"{named(name)}/versions")
        return sorted(int(file.removesuffix(SUFFIX)) for file in found if re.fullmatch(r"\d+\.json", file))

    def manifest(self, name: str, version: int) -> Manifest:
        """The manifest of a version; its signature is checked where there are trusted keys.

        Raises
        ------
        ModelError
            There is no such version, or its manifest is damaged, tampered with, or not signed by a trusted key.
        """
        where = f"{named(name)} version {version}"
        text = self.files.read(self._version(name, version))
        if text is None:
            known = ", ".join(map(str, self.versions(name))) or "none"
            raise ModelError(f"there is no {where} in {self.url}; versions: {known}")
        manifest = Manifest.parse(text, where)
        if (manifest.name, manifest.version) != (name, version):
            raise ModelError(f"the manifest of {where} is that of {manifest.name} version {manifest.version}")
        self._check_signature(manifest, where)
        return manifest

    def aliases(self, name: str) -> dict[str, int]:
        """Version that each alias of a model stands for."""
        return {alias: self._alias(name, alias)[0]["version"] for alias in self._alias_names(name)}

    def history(self, name: str, alias: str) -> list[Entry]:
        """What an alias stood for, newest first: version, when, who, why; and its serial number, if it is signed."""
        return self._alias(name, alias)

    def resolve(self, name: str, which: str | int) -> int:
        """The version that an alias, or a number, stands for.

        Raises
        ------
        ModelError
            There is no such alias or version.
        """
        if isinstance(which, int) or which.isdecimal():
            return self.manifest(name, int(which)).version
        entries = self._alias(name, which)
        if not entries:
            known = ", ".join(f"{a} ({v})" for a, v in self.aliases(name).items()) or "none"
            raise ModelError(f"{name} has no alias {which!r} in {self.url}; aliases: {known}")
        return int(entries[0]["version"])

    def load(self, name: str, version: int, variant: str = "full") -> LoadedModel:
        """A version, its files checked against the manifest.

        Raises
        ------
        ModelError
            It is not there, too large, damaged, or does not fit its manifest.
        """
        manifest = self.manifest(name, version)
        where = f"{name} version {version}"
        if variant not in manifest.variants:
            raise ModelError(f"{where} has no variant {variant!r}; it has: {', '.join(manifest.variants)}")
        if manifest.detector not in LOADED:
            raise ModelError(f"{where} is a {manifest.detector}, {why_unknown(manifest.detector)}")
        kind = LOADED[manifest.detector]
        described = manifest.variants[variant]
        try:
            memory = max(described.size, int(kind.bytes_for(len(manifest.features), **manifest.settings)))
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"{where} has settings that do not fit: {error}") from error
        if memory > MOST_BYTES:
            raise ModelError(f"{where} would take {memory / 1e6:.0f} MB, a model may take {MOST_BYTES / 1e6:.0f} MB")
        files, left = {}, described.size
        for file, digest in described.files.items():
            files[file] = self._content(name, digest, f"{where}, {file}", left)
            left -= len(files[file])
        try:
            detector = kind.from_files(files)
            calibrator = TailCalibrator.from_state(files.get(CALIBRATOR, b""))
        except StateError as error:
            raise ModelError(f"{where}: {error}") from error
        if (detector.width, detector.steps) != (len(manifest.features), manifest.steps):
            raise ModelError(
                f"{where} takes {detector.width} features and {detector.steps} steps, its manifest names "
                f"{len(manifest.features)} and {manifest.steps}"
            )
        try:
            return LoadedModel(manifest, variant, detector, calibrator, *_reference(manifest))
        except (ValueError, TypeError) as error:
            raise ModelError(f"{where} has distributions that do not fit: {error}") from error

    # ---- changing -----------------------------------------------------------------------------------------------------

    def publish(
        self,
        manifest: Manifest,
        variants: dict[str, tuple[dict[str, bytes], dict[str, float | None]]],
        sign_key: Path | None = None,
    ) -> Manifest:
        """Add a version.

        Parameters
        ----------
        manifest : Manifest
            Without version, variants and signature.
        variants : dict
            By name: files, and figures.
        sign_key : Path, optional
            Ed25519 private key in PEM, to sign with.

        Returns
        -------
        Manifest
            As it was published.
        """
        name = named(manifest.name)
        described = {}
        for variant, (files, figures) in variants.items():
            digests = {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}
            for file, data in files.items():
                path = f"{name}/files/{digests[file]}"
                if not self.files.exists(path):
                    self.files.write(path, data)
            described[variant] = Variant(files=digests, size=sum(map(len, files.values())), figures=figures)
        key = self._key(f"a version of {name}", sign_key)
        while True:
            version = max(self.versions(name), default=0) + 1
            published = manifest.model_copy(update={"version": version, "variants": described, "signature": None})
            if key is not None:
                published = load_module("persistence.signature").signed(published, key)
            if self.files.create(self._version(name, version), published.model_dump_json(indent=1).encode()):
                return published

    def point(self, name: str, alias: str, version: int, by: str = "", why: str = "") -> None:
        """Make an alias stand for a version."""
        key = self._key(f"the alias {alias!r} of {name}")
        self.manifest(name, version)
        now: Entry = {"version": version, "at": datetime.now(UTC).isoformat(timespec="seconds"), "by": by, "why": why}
        before = self._known(name, alias)
        if key is not None:
            last = max((one.get("serial", 0) for one in before), default=0)
            now = signed_entry(name, alias, now, last, key)
        entries = [now, *before][:KEPT_HISTORY]
        self.files.write(f"{name}/aliases/{alias}{SUFFIX}", json.dumps(entries, indent=1).encode())

    def drop(self, name: str, alias: str) -> None:
        """Remove an alias, if there is one."""
        if alias in self._alias_names(name):
            self.files.remove(f"{name}/aliases/{alias}{SUFFIX}")

    def make_live(
        self, name: str, version: int, by: str = "", why: str = "", live: str = "live", shadow: str = "shadow"
    ) -> None:
        """Make a version live, and keep the alias of its shadow true. There is no shadow if that alias names the live version.

        If the version was the shadow, the older version that was live is compared with it from now on. A newer one that was live, as in a
        rollback, does not become the shadow: it would be judged as a new version, and become live again. The alias of the live version is
        moved last: a new version is never live without the one that it is compared with.

        Parameters
        ----------
        name : str
        version : int
        by, why : str
            For the history of the aliases.
        live, shadow : str
            The two aliases. That of the shadow is moved only if it is there.
        """
        # an alias that must be signed anew names nothing yet
        before, compared = (next((one["version"] for one in self._known(name, of)), None) for of in (live, shadow))
        if compared is not None:
            follows = compared
            if compared == version and before is not None and before < version:
                follows = before
            elif compared == before:  # there was no shadow
                follows = version
            if follows != compared:
                self.point(name, shadow, follows, by, f"{live} is version {version}")
        self.point(name, live, version, by, why)

    def before(self, name: str, alias: str) -> int:
        """The version that an alias stood for before the one that it stands for now; ModelError if there was no other."""
        before = _before(self._alias(name, alias))
        if before is None:
            raise ModelError(f"{name}: the alias {alias!r} never stood for another version")
        return before

    def verify(self, name: str, version: int) -> None:
        """Load every variant of a version; ModelError says what is wrong."""
        for variant in self.manifest(name, version).variants:
            loaded = self.load(name, version, variant)
            if loaded.detector.networks:
                loaded.detector.rate_many(_any_events(loaded.manifest))

    def collect_garbage(self, name: str, keep: int = 5) -> list[str]:
        """Delete old versions that no alias stands for, nor would after a rollback, and files that no version and no training needs.

        Parameters
        ----------
        name : str
        keep : int
            Newest versions that stay in any case.

        Returns
        -------
        list of str
            Paths that were deleted, below the root.
        """
        aliases = [self._alias(name, alias) for alias in self._alias_names(name)]
        held = {one["version"] for entries in aliases for one in entries[:1]} | {
            _before(entries) for entries in aliases
        }
        versions = self.versions(name)
        gone = [v for v in versions[: max(0, len(versions) - keep)] if v not in held]
        deleted = [self._version(name, v) for v in gone]
        for path in deleted:
            self.files.remove(path)
        named_files: set[str] = set()
        for version in self.versions(name):
            manifest = Manifest.parse(self.files.read(self._version(name, version)) or b"", f"{name} version {version}")
            named_files |= {digest for variant in manifest.variants.values() for digest in variant.files.values()}
        for folder in (f"{name}/files", f"{name}/unfinished"):
            for file in self.files.listed(folder):
                path = f"{folder}/{file}"
                if file not in named_files and self.files.age(path) > GRACE:
                    self.files.remove(path)
                    deleted.append(path)
        return deleted

    # ---- requests to retrain ------------------------------------------------------------------------------------------

    def waiting(self, name: str) -> dict[str, Any] | None:
        """Data of the request to retrain that waits for its answer; None if there is none."""
        text = self.files.read(f"{named(name)}/{WAITING}")
        try:
            return None if text is None else dict(json.loads(text))
        except (ValueError, TypeError, RecursionError) as error:
            raise ModelError(f"the waiting request of {name} is damaged: {error}: delete {name}/{WAITING}") from error

    def keep_waiting(self, name: str, request: dict[str, Any] | None) -> None:
        """Keep the data of a request to retrain until it is answered. It replaces an earlier one; None removes it."""
        below = f"{named(name)}/{WAITING}"
        if request is not None:
            self.files.write(below, json.dumps(request).encode())
        else:
            self.files.remove(below)

    # ---- trainings that were interrupted ------------------------------------------------------------------------------

    def unfinished(self, name: str, what: str, tell: Callable[[str], None]) -> Unfinished:
        """Where a training of a model saves its state. It is signed if there is a key, and must be if keys are trusted.

        Parameters
        ----------
        name : str
        what : str
            A detector, or another part of the work.
        tell : callable
            See `Unfinished`.
        """
        below = f"{named(name)}/unfinished/{what}"
        return Unfinished(partial(self._load_unfinished, below), partial(self._save_unfinished, below), tell)

    def _load_unfinished(self, below: str) -> bytes | None:
        text = self.files.read(below, MOST_UNFINISHED)
        if text is None:
            return None
        seal, _, content = text.partition(b"\n")
        if self.trusted_keys:
            fits = load_module("persistence.signature").fits
            if not any(fits(below.encode() + content, seal.decode(errors="replace"), key) for key in self.trusted_keys):
                raise ModelError(f"{below} in {self.url} is not signed by one of models.trusted_keys")
        return content

    def _save_unfinished(self, below: str, content: bytes | None) -> None:
        if content is None:
            self.files.remove(below)
            return
        key = self._key(below)
        seal = "" if key is None else load_module("persistence.signature").signature(below.encode() + content, key)
        self.files.write(below, seal.encode() + b"\n" + content)

    # ---- files --------------------------------------------------------------------------------------------------------

    @staticmethod
    def _version(name: str, version: int) -> str:
        return f"{name}/versions/{version:06d}{SUFFIX}"

    def _content(self, name: str, digest: str, where: str, most: int) -> bytes:
        """A file of a version; `most` are the bytes that its manifest leaves for it."""
        data = self.files.read(f"{name}/files/{digest}", most) if re.fullmatch(r"[0-9a-f]{64}", digest) else None
        if data is None:
            raise ModelError(f"{where}: the file is missing in {self.url}")
        if hashlib.sha256(data).hexdigest() != digest:
            raise ModelError(f"{where}: the file was changed: its SHA-256 is not that of the manifest")
        return data

    def _alias_names(self, name: str) -> list[str]:
        found = [f.removesuffix(SUFFIX) for f in self.files.listed(f"{named(name)}/aliases") if f.endswith(SUFFIX)]
        return [alias for alias in found if ALIAS.fullmatch(alias)]

    def _alias(self, name: str, alias: str) -> list[Entry]:
        """What an alias stood for, newest first. Where keys are trusted, the newest entry is signed, and no older one than before."""
        entries, trusted = self._entries(name, alias), self._known(name, alias)
        if not entries or not self.trusted_keys:
            return entries
        if trusted[:1] != entries[:1]:
            raise ModelError(
                f"{name}: the alias {alias!r} in {self.url} is not signed by one of models.trusted_keys: if it is right, "
                f"`streamgauge models promote {name} {entries[0]['version']} --to {alias} --sign-key KEY` signs it"
            )
        serial, seen = trusted[0]["serial"], self._serials.get((name, alias), 0)
        if serial < seen:
            raise ModelError(f"{name}: {older(alias, serial, seen)}")
        self._serials[name, alias] = serial
        return trusted

    def _known(self, name: str, alias: str) -> list[Entry]:
        """The entries of an alias; where keys are trusted, only those that one of them signed."""
        entries = self._entries(name, alias)
        return [one for one in entries if not self.trusted_keys or is_signed(name, alias, one, self.trusted_keys)]

    def _entries(self, name: str, alias: str) -> list[Entry]:
        """What is in the file of an alias. The name of an alias is a part of a path, so it is checked."""
        if not ALIAS.fullmatch(alias):
            raise ModelError(
                f"{alias[:100]!r} cannot be an alias: small letters, digits, '_' and '-', a letter first, 100 at most"
            )
        text = self.files.read(f"{named(name)}/aliases/{alias}{SUFFIX}")
        try:
            return [] if text is None else msgspec.json.decode(text, type=list[Entry])
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ModelError(f"the alias {alias!r} of {name} is damaged: {error}") from error

    def _key(self, what: str, sign_key: Path | None = None) -> Any:
        """The key to sign with, if there is one. ModelError if keys are trusted and there is none: nobody would use what is written."""
        path = sign_key or self.sign_key
        if path is not None:
            return load_module("persistence.signature").read_key(path)
        if self.trusted_keys:
            raise ModelError(f"{what} must be signed, because models.trusted_keys is set: name a key with --sign-key")
        return None

    def _check_signature(self, manifest: Manifest, where: str) -> None:
        if not self.trusted_keys:
            return
        if manifest.signature is None or manifest.key is None:
            raise ModelError(
                f"{where} is not signed, and this registry is read with trusted keys (models.trusted_keys)"
            )
        if manifest.key not in self.trusted_keys:
            raise ModelError(f"{where} is signed with the key {manifest.key}, which is none of the trusted ones")
        load_module("persistence.signature").check(manifest, where)


def _before(entries: list[Entry]) -> int | None:
    """The version that an alias stood for before the one that it stands for now; None if there was no other."""
    return next((one["version"] for one in entries if one["version"] != entries[0]["version"]), None)


def _reference(manifest: Manifest) -> tuple[Reference | None, tuple[str, ...]]:
    """What drift is measured against, and the name of each of its rows; manifests of earlier releases have less."""
    known = [one for one in (manifest.distribution_of_scores, manifest.distribution) if one is not None]
    if manifest.distribution is None:
        return None, ()
    names = ((SCORE,) if manifest.distribution_of_scores else ()) + tuple(manifest.features)
    edges, shares = (np.vstack([getattr(one, of) for one in known]) for of in ("edges", "shares"))
    if edges.shape[1] + 1 != shares.shape[1] or not len(edges) == len(shares) == len(names):
        raise ValueError(f"{len(names)} rows have edges {edges.shape} and shares {shares.shape}")
    return Reference(edges, shares), names


def _any_events(manifest: Manifest) -> Any:
    shape = (1, len(manifest.features)) if manifest.steps == 1 else (1, manifest.steps, len(manifest.features))
    return np.broadcast_to(np.array(manifest.centre), shape)
