"""Files of certificates that settings name, for the clients of Kafka and of Flink's REST endpoint."""

from __future__ import annotations

import ssl
from pathlib import Path

from streamgauge.models.errors import ClusterError


def content(key: str, path: str) -> bytes:
    """The content of a file that the setting `key` names; ClusterError says why it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ClusterError(f"{key}: {path} cannot be read: {error.strerror}") from None


def tls_context(section: str, ca_file: str | None, cert_file: str | None, key_file: str | None) -> ssl.SSLContext:
    """What the other side's certificate is checked with, and our own certificate.

    Parameters
    ----------
    section : str
        Section of the settings, for messages.
    ca_file : str or None
        Authorities; None is those of the system.
    cert_file, key_file : str or None
        Our certificate and its key, not encrypted; None is none.

    Raises
    ------
    ClusterError
        A file cannot be read or used.
    """
    authorities = None if ca_file is None else content(f"{section}.ca_file", ca_file).decode("ascii", errors="replace")
    try:
        context = ssl.create_default_context(cadata=authorities)
    except (ssl.SSLError, ValueError):
        raise no_certificates(section, ca_file) from None
    if cert_file is not None and key_file is not None:
        content(f"{section}.cert_file", cert_file)
        content(f"{section}.key_file", key_file)
        try:
            # Without a password of our own, OpenSSL would ask for one in the terminal.
            context.load_cert_chain(cert_file, key_file, password=lambda: b"")
        except (ssl.SSLError, ValueError):
            raise no_pair(section, cert_file, key_file) from None
    return context


def no_certificates(section: str, ca_file: str | None) -> ClusterError:
    """The error of a file that holds no certificates."""
    return ClusterError(f"{section}.ca_file: {ca_file} holds no certificates (PEM)")


def no_pair(section: str, cert_file: str | None, key_file: str | None) -> ClusterError:
    """The error of a certificate and a key that do not belong together."""
    return ClusterError(
        f"{section}: the certificate {cert_file} (cert_file) and the key {key_file} (key_file) are no pair, the key is encrypted, "
        "or one of them is damaged"
    )
