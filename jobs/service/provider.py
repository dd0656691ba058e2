"""What a provider of OpenID Connect says over HTTP: its addresses, its keys, and the tokens for a code."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

import jwt
import structlog
from streamgauge.jobs.service.access import RefusedError
from streamgauge.jobs.settings.service import OidcSettings
from streamgauge.models.errors import ClusterError

ALGORITHMS = ("RS256", "ES256")
FRESH = 600.0  # seconds after which keys are fetched anew, so that withdrawn ones end
AGAIN = 5.0  # seconds between two fetches for keys that are not known
WAIT = 3.0  # seconds for an answer of the provider
LARGEST = 1 << 20  # bytes of an answer
_log = structlog.get_logger()


class _NoRedirects(HTTPRedirectHandler):
    """Keys come from the addresses that the provider names, and from nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Take a redirect as an error."""


_open = build_opener(_NoRedirects).open


class ProviderAwayError(ClusterError):
    """The provider does not answer, or not as OpenID Connect says."""


class Provider:
    """The provider of the settings. It is first called when it is needed, so the service starts without it.

    Parameters
    ----------
    settings : OidcSettings
    """

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._addresses: dict[str, Any] = {}
        self._keys: dict[str, jwt.PyJWK] = {}
        self._lock = threading.Lock()
        self._fetched = self._tried = float("-inf")
        self._problem: str | None = None

    def key(self, name: str | None) -> jwt.PyJWK:
        """The key with an id.

        The keys are kept, and fetched anew when they are old or one is not among them, but not more often than every `AGAIN`
        seconds: anybody can send ids that do not exist. While the provider is away, the keys that are known go on to count.

        Raises
        ------
        RefusedError
            The provider has no such key.
        ProviderAwayError
            The keys cannot be fetched.
        """
        known = self._keys.get(name or "")
        if known is not None and time.monotonic() - self._fetched < FRESH:
            return known
        if not self._lock.acquire(blocking=known is None) and known is not None:
            return known  # another thread is fetching
        try:
            self._fetch_sometimes(name or "")
            if (known := self._keys.get(name or "")) is not None:
                return known
            if self._problem is not None:
                raise ProviderAwayError(self._problem)
        finally:
            self._lock.release()
        raise RefusedError("the token is signed with a key that its issuer does not have")

    def _fetch_sometimes(self, name: str) -> None:
        """Fetch the keys, unless another thread has just done so, or it was tried a moment ago."""
        now = time.monotonic()
        if (name in self._keys and now - self._fetched < FRESH) or now - self._tried < AGAIN:
            return
        try:
            self._keys, self._problem, self._fetched = self._fetch_keys(), None, now
        except ProviderAwayError as error:
            self._addresses, self._problem = {}, str(error)
        self._tried = time.monotonic()

    def address(self, name: str) -> str:
        """An address of the provider, such as ``token_endpoint``.

        Raises
        ------
        ProviderAwayError
        """
        if not self._addresses:
            found = self._get(self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
            if found.get("issuer") != self._settings.issuer:
                raise ProviderAwayError("the provider calls itself by another name than service.oidc.issuer")
            self._addresses = found
        address = self._addresses.get(name)
        scheme = self._settings.issuer.partition(":")[0] + "://"
        if not isinstance(address, str) or not address.startswith(scheme):
            raise ProviderAwayError(f"the provider names no {name} with {scheme}")
        return address

    def id_token(self, code: str, verifier: str, back: str) -> str:
        """The id token for a code that the provider gave a browser.

        Parameters
        ----------
        code, verifier : str
            The code, and the secret whose hash the provider has (PKCE).
        back : str
            Where the provider sent the browser.

        Raises
        ------
        RefusedError
            The provider does not take the code.
        ProviderAwayError
        """
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier, "redirect_uri": back}
        name, secret, headers = str(self._settings.client_id), self._settings.client_secret, {}
        address = self.address("token_endpoint")
        ways = self._addresses.get("token_endpoint_auth_methods_supported") or ("client_secret_basic",)
        if secret is None:
            form["client_id"] = name
        elif "client_secret_basic" in ways:
            both = f"{quote(name, safe='')}:{quote(secret.get_secret_value(), safe='')}"
            headers["Authorization"] = "Basic " + base64.b64encode(both.encode()).decode()
        else:
            form |= {"client_id": name, "client_secret": secret.get_secret_value()}
        try:
            token = self._get(address, urlencode(form).encode(), headers).get("id_token")
        except HTTPError as error:
            error.close()
            _log.warning("the provider does not take a code: are client_id and client_secret right?", status=error.code)
            raise RefusedError("the provider does not take the code of this sign in: begin again") from error
        if not isinstance(token, str):
            raise ProviderAwayError("the provider gives no id token")
        return token

    def _fetch_keys(self) -> dict[str, jwt.PyJWK]:
        found = self._get(self.address("jwks_uri"))
        try:
            keys = jwt.PyJWKSet.from_dict(found).keys
        except (jwt.PyJWTError, AttributeError, TypeError) as error:
            raise ProviderAwayError("the provider gives no keys that can be used") from error
        usable = [key for key in keys if key.algorithm_name in ALGORITHMS and key.public_key_use in (None, "sig")]
        return {key.key_id: key for key in usable if key.key_id}

    def _get(self, address: str, form: bytes | None = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """An answer of the provider. A refusal of a form is left to the caller."""
        try:
            with _open(Request(address, form, headers or {}), timeout=WAIT) as answer:
                found = json.loads(answer.read(LARGEST))
        except (OSError, HTTPException, ValueError) as error:
            if form is not None and isinstance(error, HTTPError) and error.code in (400, 401):
                raise
            raise ProviderAwayError(
                f"the provider of service.oidc does not answer as it should ({_why(error)})"
            ) from error
        if not isinstance(found, dict):
            raise ProviderAwayError("the provider of service.oidc does not answer as it should (no JSON object)")
        return found


def _why(error: Exception) -> str:
    if isinstance(error, HTTPError):
        error.close()
        return f"status {error.code}"
    return str(getattr(error, "reason", None) or type(error).__name__)
