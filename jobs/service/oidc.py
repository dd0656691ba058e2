"""Callers with an account at a provider of OpenID Connect: with a token in the request, or signed in on the page."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any
from urllib.parse import urlencode

import jwt
from streamgauge.jobs.service.access import Caller, RefusedError
from streamgauge.jobs.service.provider import ALGORITHMS, Provider
from streamgauge.jobs.settings.service import OidcSettings

ANSWER = "/sign-in/oidc/answer"  # where the provider sends browsers
LONGEST = 200  # characters of a name
NEEDED = ("exp", "iss", "aud", "sub")
REASONS = {
    jwt.ExpiredSignatureError: "has expired",
    jwt.InvalidAudienceError: "is for another audience",
    jwt.InvalidIssuerError: "is of another issuer",
    jwt.ImmatureSignatureError: "is not valid yet",
    jwt.InvalidSignatureError: "has a wrong signature",
    jwt.InvalidAlgorithmError: f"is signed in another way than {' or '.join(ALGORITHMS)}",
}


class Oidc:
    """Checks tokens of the provider, and lets people sign in there (authorization code flow with PKCE).

    Parameters
    ----------
    settings : OidcSettings
    address : str, optional
        Of the page, as browsers see it.
    """

    def __init__(self, settings: OidcSettings, address: str | None = None) -> None:
        self._settings = settings
        self._provider = Provider(settings)
        self.for_people = settings.client_id is not None
        self._page = (address or "").rstrip("/")
        self.secure = self._page.startswith("https:")

    def of_token(self, token: str) -> Caller:
        """The caller with a token for the API.

        Raises
        ------
        RefusedError
            The token does not let anybody in.
        ProviderAwayError
            The provider's keys are needed, and cannot be fetched.
        """
        return self._caller(self._checked(token, self._settings.audience))

    def begin(self) -> tuple[str, str]:
        """Begin to sign in.

        Returns
        -------
        address : str
            Where the browser goes.
        secret : str
            What the browser keeps, and only this browser: state, nonce and verifier are made from it.

        Raises
        ------
        ProviderAwayError
        """
        secret = secrets.token_urlsafe(32)
        challenge = _base64(hashlib.sha256(_made(secret, "verifier").encode()).digest())
        asked = {
            "response_type": "code",
            "client_id": str(self._settings.client_id),
            "redirect_uri": self._page + ANSWER,
            "scope": self._settings.ask,
            "state": _made(secret, "state"),
            "nonce": _made(secret, "nonce"),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        address = self._provider.address("authorization_endpoint")
        return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}", secret

    def finish(self, secret: str, state: str, code: str) -> Caller:
        """The person whom the provider sent back with a code.

        Parameters
        ----------
        secret : str
            As `begin` gave it to this browser.
        state, code : str
            As the provider gave them to the browser.

        Raises
        ------
        RefusedError
            The answer is not to this browser's question, or the person may do nothing here.
        ProviderAwayError
        """
        if not secret or not hmac.compare_digest(_made(secret, "state").encode(), state.encode()):
            raise RefusedError("this sign in was not begun in this browser, or took too long: begin again")
        token = self._provider.id_token(code, _made(secret, "verifier"), self._page + ANSWER)
        claims = self._checked(token, str(self._settings.client_id))
        if not hmac.compare_digest(_made(secret, "nonce").encode(), str(claims.get("nonce")).encode()):
            raise RefusedError("the token is not for this sign in: begin again")
        if claims.get("azp", self._settings.client_id) != self._settings.client_id:
            raise RefusedError("the token was made for another program")
        return self._caller(claims)

    def _checked(self, token: str, audience: str) -> dict[str, Any]:
        """The claims of a token that is valid."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise jwt.InvalidAlgorithmError
            key = self._provider.key(header.get("kid"))
            return jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=audience,
                issuer=self._settings.issuer,
                leeway=self._settings.leeway / 1000.0,
                options={"require": list(NEEDED)},
            )
        except jwt.MissingRequiredClaimError as error:
            raise RefusedError(f"the token lacks the claim {error.claim}") from error
        except jwt.PyJWTError as error:
            why = next((text for kind, text in REASONS.items() if isinstance(error, kind)), "cannot be read")
            raise RefusedError(f"the token {why}") from error

    def _caller(self, claims: dict[str, Any]) -> Caller:
        name = claims.get(self._settings.name_claim)
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST or not name.isprintable():
            raise RefusedError(
                f"the token needs the claim {self._settings.name_claim} with a name of at most {LONGEST} characters"
            )
        scopes = {scope for role in self._roles(claims) for scope in self._settings.roles.get(role, ())}
        return Caller(name, frozenset(scopes), subject=str(claims["sub"]))

    def _roles(self, claims: dict[str, Any]) -> list[str]:
        """The roles in a claim; names of claims may have dots of their own."""
        path = self._settings.roles_claim
        found: Any = claims.get(path)
        if found is None:
            found = claims
            for part in path.split("."):
                found = found.get(part) if isinstance(found, dict) else None
        if isinstance(found, str):
            return found.split()
        return [role for role in found if isinstance(role, str)] if isinstance(found, list) else []


def _made(secret: str, purpose: str) -> str:
    return _base64(hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).digest())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
