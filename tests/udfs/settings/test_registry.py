"""Settings of a registry travel with the job, so they name secrets and never hold them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from streamgauge.udfs.settings.registry import RegistrySettings

URL = "https://registry:8081"


def test_settings_survive_the_way_to_the_job():
    settings = RegistrySettings(url=URL, user="a", password_env="NAME", retry_for="5 m", schema_id=3)
    assert RegistrySettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize("url", ["http://127.0.0.1:8081", "https://registry/apis/ccompat/v7", "http://[::1]:1"])
def test_an_address_may_have_a_port_and_a_path(url):
    assert RegistrySettings(url=url + "/").url == url


@pytest.mark.parametrize(
    "url", ["registry:8081", "ftp://registry", "https://", "http://a b", "http://a?b=c", "http://a:0x"]
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValidationError, match="allowed is an address"):
        RegistrySettings(url=url)


def test_a_password_in_the_address_is_refused_with_the_remedy():
    with pytest.raises(ValidationError, match="password_env") as raised:
        RegistrySettings(url="https://user:hunter2@registry")
    assert "hunter2" not in raised.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"user": "a"},
        {"password_env": "A"},
        {"user": "a", "token_env": "A"},
        {"user": "a", "password_env": "A", "password_file": "b"},
        {"token_env": "A", "token_file": "b"},
        {"password_env": "not a name", "user": "a"},
        {"password": "x"},
    ],
)
def test_only_one_kind_of_credentials_is_allowed(wrong):
    with pytest.raises(ValidationError):
        RegistrySettings(url=URL, **wrong)
