"""A real Kafka broker that lets in only who proves to be known, and only to what access rules allow them."""

from __future__ import annotations

import time
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.settings.kafka import KafkaSettings

from tests.integration.broker import START_SECONDS, Broker, free_ports
from tests.integration.certificates import Authority

ADMIN = "admin"  # a user whom no rule limits
JOB = "job"  # the user of the job
# An environment variable of Flink's processes with the password of the job's user.
VARIABLE, PASSWORD = "STREAMGAUGE_TEST_PASSWORD", "aardvark-7351"
Rule = tuple[
    str, str, str
]  # a kind of resource, its name (with * at the end: the beginning of names), and an operation


class SecuredBroker:
    """A broker on free ports, with one listener for passwords (SASL_SSL) and one for certificates (SSL).

    Parameters
    ----------
    folder : Path
        For its data and certificates.
    home : Path
        Home of a local cluster, with the jars.
    passwords : dict
        By user.

    Attributes
    ----------
    passwords_at, certificates_at : str
        Addresses of the listeners.
    authority : Authority
        The one that clients must trust, and that the broker trusts.
    """

    def __init__(self, folder: Path, home: Path, passwords: dict[str, str]) -> None:
        self._folder = folder
        for user, password in passwords.items():
            (folder / user).write_text(password + "\n")
        self.authority = Authority(folder, "authority")
        broker = self.authority.issue("broker")
        both = folder / "broker.pem"
        both.write_bytes(broker.key.read_bytes() + broker.cert.read_bytes())
        sasl, ssl = free_ports(2)
        self.passwords_at, self.certificates_at = f"127.0.0.1:{sasl}", f"127.0.0.1:{ssl}"
        addresses = f"SASL_SSL://{self.passwords_at},SSL://{self.certificates_at}"
        lines = {
            "listeners": addresses,
            "advertised.listeners": addresses,
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "SSL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required"
            + "".join(f' user_{user}="{password}"' for user, password in passwords.items())
            + ";",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": both,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.authority.ca,
            "listener.name.ssl.ssl.client.auth": "required",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:CN=broker;User:{ADMIN};User:CN={ADMIN}",
        }
        users = [f"SCRAM-SHA-512=[name={user},password={password}]" for user, password in passwords.items()]
        known = [word for user in users for word in ("--add-scram", user)]
        self._broker = Broker(folder, home, lines, (sasl, ssl), known)

    def security(self, user: str, **other: str) -> dict[str, str]:
        """The section `kafka.security` of a user. Others keys than `password_file` may be given."""
        return {
            "protocol": "SASL_SSL",
            "mechanism": "SCRAM-SHA-512",
            "username": user,
            "ca_file": str(self.authority.ca),
            **(other or {"password_file": str(self._folder / user)}),
        }

    def allow(self, user: str, rules: list[Rule]) -> None:
        """Let a user do what these rules allow, and wait until they are in force."""
        kafka = KafkaSettings.model_validate({"bootstrap": self.passwords_at, "security": self.security(ADMIN)})
        with clients.admin(kafka, "set access rules") as admin:
            made = [_entry(f"User:{user}", rule) for rule in rules]
            admin.create_acls(made)
            deadline = time.monotonic() + START_SECONDS
            while not all(_known(admin, one) for one in made):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the access rules of {user} are not in force after {START_SECONDS} s")
                time.sleep(0.1)

    def stop(self) -> None:
        """End the process."""
        self._broker.stop()


def _entry(user: str, rule: Rule) -> ACL:
    kind, name, operation = rule
    way = ACLResourcePatternType.PREFIXED if name.endswith("*") else ACLResourcePatternType.LITERAL
    return ACL(
        user,
        "*",
        ACLOperation[operation.upper()],
        ACLPermissionType.ALLOW,
        ResourcePattern(ResourceType[kind.upper()], name.rstrip("*"), way),
    )


def _known(admin: KafkaAdminClient, entry: ACL) -> bool:
    pattern = entry.resource_pattern
    wanted = ACLFilter(
        entry.principal,
        entry.host,
        entry.operation,
        entry.permission_type,
        ResourcePatternFilter(pattern.resource_type, pattern.resource_name, pattern.pattern_type),
    )
    found, _ = admin.describe_acls(wanted)
    return bool(found)
