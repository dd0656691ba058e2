"""`kafka.security`: what cannot fit is refused when it is set, and `kafka.properties` hold nothing of it."""

from __future__ import annotations

import pytest
from streamgauge.jobs.settings.kafka import brokers
from streamgauge.jobs.settings.loading import parsed
from streamgauge.jobs.settings.strict_yaml import write
from streamgauge.models.errors import SettingsError

SASL = {"protocol": "SASL_SSL", "mechanism": "SCRAM-SHA-512", "username": "u", "password_env": "P"}
FULL = [
    {},
    {"protocol": "SSL"},
    {"protocol": "SSL", "ca_file": "/ca.pem", "cert_file": "/a/c.pem", "key_file": "/a/k.pem"},
    SASL,
    SASL | {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN"},
    SASL | {"password_env": None, "password_file": "/run/secrets/kafka password"},
]


def loaded(security=None, **others):
    return parsed(write({"kafka": {"security": security or {}, **others}}), "file").kafka


@pytest.mark.parametrize(
    ("bootstrap", "found"),
    [
        ("a:9092", ["a:9092"]),
        ("a-1.b_c:1, b:65535 ,", ["a-1.b_c:1", "b:65535"]),
        ("[::1]:9092,SASL_SSL://h:9094", ["[::1]:9092", "SASL_SSL://h:9094"]),
    ],
)
def test_brokers_have_ports(bootstrap, found):
    assert brokers(loaded(bootstrap=bootstrap).bootstrap) == found


@pytest.mark.parametrize("bootstrap", ["h", "h:x", "h:0", "h:65536", "h:-1", "a:1,b", ",", ":1", "a b:1", "a:1;b:2"])
def test_an_address_of_a_broker_that_kafka_cannot_read_is_refused(bootstrap):
    with pytest.raises(SettingsError, match=r"kafka\.bootstrap: must be HOST:PORT of a broker, .* \(is '"):
        loaded(bootstrap=bootstrap)


@pytest.mark.parametrize("security", FULL)
def test_what_fits_is_taken(security):
    assert loaded(security).security.model_dump(exclude_unset=True) == security


@pytest.mark.parametrize(
    ("security", "message"),
    [
        ({**SASL, "mechanism": None}, r"kafka\.security: protocol SASL_SSL needs .*: set mechanism"),
        ({**SASL, "username": None}, "set username"),
        ({**SASL, "password_env": None}, "set password_env or password_file"),
        ({**SASL, "password_file": "/p"}, "only one of password_env and password_file"),
        ({"username": "u"}, r"username needs protocol SASL_SSL or SASL_PLAINTEXT \(is PLAINTEXT\)"),
        ({"protocol": "SSL", "password_file": "/p"}, r"password_file needs protocol SASL_SSL .*\(is SSL\)"),
        ({"protocol": "SSL", "password_env": "P"}, r"password_env needs protocol SASL_SSL"),
        ({"ca_file": "/ca.pem"}, r"ca_file needs protocol SSL or SASL_SSL \(is PLAINTEXT\)"),
        ({"protocol": "SSL", "cert_file": "/c"}, "cert_file needs key_file"),
        ({"protocol": "SSL", "key_file": "/k"}, "key_file needs cert_file"),
        ({"protocol": "TLS"}, r"kafka\.security\.protocol: .*'SSL'.*\(is 'TLS'\)"),
        ({**SASL, "mechanism": "GSSAPI"}, r"kafka\.security\.mechanism: .*'PLAIN'"),
        ({**SASL, "username": 'u"v'}, r"kafka\.security\.username"),
        ({**SASL, "username": "${env:HOME}"}, r"kafka\.security\.username"),
        ({**SASL, "password_env": "A B"}, r"kafka\.security\.password_env"),
        ({"protocol": "SSL", "ca_file": "ca.pem"}, r"kafka\.security\.ca_file"),
        ({"protocol": "SSL", "ca_file": "/a:b"}, r"kafka\.security\.ca_file"),
        ({"protocol": "SSL", "ca_file": "/a/"}, r"kafka\.security\.ca_file"),
        ({**SASL, "password": "x"}, r"kafka\.security\.password: there is no such key .*password_env"),
    ],
)
def test_what_cannot_fit_is_refused(security, message):
    with pytest.raises(SettingsError, match=message):
        loaded(security)


@pytest.mark.parametrize(
    "key", ["security.protocol", "sasl.jaas.config", "sasl.password", "ssl.keystore.password", "config.providers"]
)
def test_security_does_not_belong_into_the_properties(key):
    with pytest.raises(SettingsError, match=r"kafka: .*set kafka\.security") as refused:
        loaded(properties={key: "hunter2"})
    assert "hunter2" not in str(refused.value)
