"""The settings `kafka.security` for the two Kafka clients: Python's in the commands and the scoring, and Java's in Flink.

Java's properties are part of the job, so they say where a password is and not what it is. Kafka's client reads it there.
"""

from __future__ import annotations

import os
import re
import ssl
from typing import Any

from streamgauge.jobs.settings.kafka import SecuritySettings
from streamgauge.jobs.settings.tls import content, tls_context
from streamgauge.models.errors import ClusterError

SECTION = "kafka.security"
# Flink's connector brings Kafka's client under other names of its packages
OF_FLINK = "org.apache.flink.kafka.shaded.org.apache.kafka.common"
OF_KAFKA = "org.apache.kafka.common"
_LOGIN = {"PLAIN": "plain.PlainLoginModule"}
_SCRAM = "scram.ScramLoginModule"
_PROVIDERS = {"env": "EnvVarConfigProvider", "directory": "DirectoryConfigProvider"}
_KEY = b"-----BEGIN PRIVATE KEY-----"


def java_properties(security: SecuritySettings, package: str = OF_FLINK) -> dict[str, str]:
    """Properties for Kafka clients in Java. No secret is in them.

    Parameters
    ----------
    security : SecuritySettings
    package : str
        Where the classes of the client are: `OF_FLINK` or `OF_KAFKA`.
    """
    if security == SecuritySettings():
        return {}
    made = {"security.protocol": security.protocol, "config.providers": ",".join(_PROVIDERS)}
    made |= {f"config.providers.{name}.class": f"{package}.config.provider.{kind}" for name, kind in _PROVIDERS.items()}
    if security.mechanism is not None:
        module = f"{package}.security.{_LOGIN.get(security.mechanism, _SCRAM)}"
        password = _in_variable(security.password_env) or _in_file(security.password_file)
        made["sasl.mechanism"] = security.mechanism
        # Java ends a text in quotes at a line break, too. So one at the end of the file is no part of the password.
        made["sasl.jaas.config"] = f'{module} required username="{security.username}" password="{password}\n;'
    if security.ca_file is not None:
        made |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": security.ca_file}
    if security.cert_file is not None:
        made["ssl.keystore.type"] = "PEM"
        made["ssl.keystore.certificate.chain"] = _in_file(security.cert_file)
        made["ssl.keystore.key"] = _in_file(security.key_file)
    return made


def _in_variable(name: str | None) -> str:
    return "" if name is None else f"${{env:{name}}}"


def _in_file(path: str | None) -> str:
    if path is None:
        return ""
    folder, _, name = path.rpartition("/")
    return f"${{directory:{folder or '/'}:{name}}}"


def python_options(security: SecuritySettings) -> dict[str, Any]:
    """Options for the clients of kafka-python.

    Raises
    ------
    ClusterError
        A password or a file cannot be read or used. The message shows no secret.
    """
    made: dict[str, Any] = {"security_protocol": security.protocol}
    if security.sasl:
        made["sasl_mechanism"] = security.mechanism
        made["sasl_plain_username"] = security.username
        made["sasl_plain_password"] = _password(security)
    if security.encrypted:
        made["ssl_context"] = _tls(security)
    return made


def _password(security: SecuritySettings) -> str:
    """The password of the user. Line breaks at the end of its file are no part of it."""
    if security.password_env is not None:
        where = f"kafka.security.password_env: the environment variable {security.password_env}"
        text = os.environ.get(security.password_env, "")
    else:
        where = f"kafka.security.password_file: {security.password_file}"
        text = content(f"{SECTION}.password_file", security.password_file or "").decode(errors="replace").rstrip("\r\n")
    if not text:
        raise ClusterError(f"{where} is not set, or empty: it must hold the password of {security.username!r}")
    if re.search(r'["\\\x00-\x1f]', text):
        raise ClusterError(
            f"{where} holds a password with a quote, a backslash or a line break, which Flink's Kafka client cannot read: "
            "choose another password"
        )
    return text


def _tls(security: SecuritySettings) -> ssl.SSLContext:
    """What the broker's certificate is checked with, and our own certificate."""
    if security.key_file is not None and _KEY not in content(f"{SECTION}.key_file", security.key_file):
        raise ClusterError(
            f"{SECTION}.key_file: {security.key_file} is no PEM with an unencrypted key in PKCS #8, which Flink's Kafka "
            "client needs: `openssl pkcs8 -topk8 -nodes -in OLD -out NEW` writes it"
        )
    return tls_context(SECTION, security.ca_file, security.cert_file, security.key_file)
