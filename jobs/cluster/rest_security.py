"""The settings `flink.rest` for the two clients of Flink's REST endpoint: Python's in the commands, and Java's in `flink run`."""

from __future__ import annotations

import os
import re
import secrets
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key, pkcs12
from streamgauge.jobs.settings.flink import RestSettings
from streamgauge.jobs.settings.tls import content, no_certificates, no_pair, tls_context
from streamgauge.models.errors import ClusterError

SECTION = "flink.rest"
# Flink's client adds the headers in this variable to each request. It writes all variables to its log unless this logger is at WARN.
HEADERS = "FLINK_REST_CLIENT_HEADERS"
LOGGER = "org.apache.flink.client.python.PythonEnvUtils"
CLI_LOGGING = "log4j-cli.properties"
# Flink's client speaks TLS 1.2, and by default only with certificates of RSA keys.
CIPHERS = ",".join(
    f"TLS_ECDHE_{kind}_WITH_AES_{cipher}"
    for kind in ("ECDSA", "RSA")
    for cipher in ("256_GCM_SHA384", "128_GCM_SHA256")
)
QUIET = ("WARN", "ERROR", "FATAL", "OFF")
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True)
class JavaClient:
    """What `flink run` needs to reach the endpoint.

    Attributes
    ----------
    options : list of str
        Of its command line. No secret of ours is in them: the password is that of files that only this run has.
    environment : dict of str to str
        Further variables.
    """

    options: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict, repr=False)

    def hidden(self, text: str) -> str:
        """A text without the token."""
        for header in self.environment.values():
            text = text.replace(header.rpartition(" ")[2], "(hidden)")
        return text


def token_of(rest: RestSettings) -> str | None:
    """The token; None if none is sent.

    Raises
    ------
    ClusterError
        It cannot be read, or is none. The message does not show it.
    """
    if rest.token_env is not None:
        where, text = f"token_env: the environment variable {rest.token_env}", os.environ.get(rest.token_env, "")
    elif rest.token_file is not None:
        where, text = (
            f"token_file: {rest.token_file}",
            content(f"{SECTION}.token_file", rest.token_file).decode(errors="replace"),
        )
    else:
        return None
    text = text.strip()
    if not TOKEN.fullmatch(text):
        raise ClusterError(
            f"flink.rest.{where} must hold one token: letters, digits and . _ ~ + / - with = at the end"
            if text
            else f"flink.rest.{where} is not set, or empty"
        )
    return text


def context_of(rest: RestSettings) -> ssl.SSLContext:
    """What the endpoint's certificate is checked with, and our own certificate.

    Raises
    ------
    ClusterError
        A file cannot be read or used.
    """
    return tls_context(SECTION, rest.ca_file, rest.cert_file, rest.key_file)


@contextmanager
def java_client(rest: RestSettings, conf: Path) -> Iterator[JavaClient]:
    """Options and variables for `flink run`. Java reads no PEM here, so the files are written in Java's form until the end.

    Parameters
    ----------
    rest : RestSettings
    conf : Path
        The folder with Flink's configuration of logging.

    Raises
    ------
    ClusterError
        A file or the token cannot be used, or Flink's client would write the token to its log.
    """
    if not rest.tls:
        yield JavaClient()
        return
    environment = {}
    if (token := token_of(rest)) is not None:
        _check_logging(conf / CLI_LOGGING)
        environment[HEADERS] = f"Authorization:Bearer {token}"
    with tempfile.TemporaryDirectory(prefix="streamgauge-") as folder:
        password = secrets.token_hex(16)
        options = {"enabled": "true"}
        for kind, content in _stores(rest, password.encode()).items():
            file = Path(folder) / f"{kind}.p12"
            file.write_bytes(content)
            options |= {kind: str(file), f"{kind}-type": "PKCS12", f"{kind}-password": password}
        if "keystore" in options:
            options |= {"key-password": password, "authentication-enabled": "true"}
        stores = [f"-Dsecurity.ssl.rest.{key}={value}" for key, value in options.items()]
        yield JavaClient([*stores, f"-Dsecurity.ssl.algorithms={CIPHERS}"], environment)


def _stores(rest: RestSettings, password: bytes) -> dict[str, bytes]:
    """The stores of Java: trusted certificates, and our own one with its key."""
    encryption = BestAvailableEncryption(password)
    pem = rest.ca_file and content(f"{SECTION}.ca_file", rest.ca_file)
    try:
        known = x509.load_pem_x509_certificates(pem or _of_the_system())
    except ValueError:
        raise no_certificates(SECTION, rest.ca_file) from None
    names = [pkcs12.PKCS12Certificate(one, str(k).encode()) for k, one in enumerate(known)]
    stores = {"truststore": pkcs12.serialize_java_truststore(names, encryption)}
    if rest.cert_file is None or rest.key_file is None:
        return stores
    try:
        own, *between = x509.load_pem_x509_certificates(content(f"{SECTION}.cert_file", rest.cert_file))
        key = load_pem_private_key(content(f"{SECTION}.key_file", rest.key_file), None)
        # of the kinds of keys, those that certificates have
        stores["keystore"] = pkcs12.serialize_key_and_certificates(b"own", key, own, between, encryption)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        raise no_pair(SECTION, rest.cert_file, rest.key_file) from None
    return stores


def _of_the_system() -> bytes:
    """The certificates that the system trusts, in PEM."""
    known = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not known:
        raise ClusterError("flink.rest.ca_file: the system has no certificates of authorities, so name a file")
    return "".join(map(ssl.DER_cert_to_PEM_cert, known)).encode()


def _check_logging(file: Path) -> None:
    """Refuse to give the token to a client that would write it to its log."""
    lines = [re.sub(r"\s*=\s*", " = ", line.strip()) for line in file.read_text().splitlines()] if file.exists() else []
    named = [line.removesuffix(f".name = {LOGGER}") for line in lines if line.endswith(f".name = {LOGGER}")]
    if not any(f"{logger}.level = {level}" in lines for logger in named or ["rootLogger"] for level in QUIET):
        raise ClusterError(
            f"Flink's client would write the token to its log: add to {file} the lines `logger.environment.name = {LOGGER}` and "
            "`logger.environment.level = WARN`"
        )
