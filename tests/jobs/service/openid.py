"""A small provider of OpenID Connect on this machine: real HTTP and real keys. Everybody who is sent there is signed in as one person."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE, CLIENT, SECRET = "streamgauge-api", "streamgauge-page", "secret/of the page"
CONFIGURATION, KEYS = "/realm/.well-known/openid-configuration", "/realm/keys"


class OpenId:
    """The provider.

    Attributes
    ----------
    issuer : str
    person : dict
        Claims of whoever signs in.
    answers : Counter
        Number of answers by path.
    changes : dict
        What the description of the provider says otherwise.
    """

    def __init__(self) -> None:
        self._port = 0
        self.keys: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.answers: Counter[str] = Counter()
        self.changes: dict[str, Any] = {}
        self.person: dict[str, Any] = {"sub": "4711", "roles": ["operators"]}
        self.secret: str | None = SECRET
        self.rotate()
        self.start()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._port}/realm"

    def start(self) -> None:
        """Answer; after `stop`, at the same address as before."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.answer(self, None)

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                provider.answer(self, dict_of(self.rfile.read(length).decode()))

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def rotate(self) -> None:
        """Have new keys, and no longer the old ones."""
        made = str(time.monotonic_ns())
        self.keys = {
            f"rsa-{made}": rsa.generate_private_key(public_exponent=65_537, key_size=2048),
            f"ec-{made}": ec.generate_private_key(ec.SECP256R1()),
        }

    def claims(self, **other: Any) -> dict[str, Any]:
        """Claims of a token for the API that is valid now. What is None is left out."""
        now = int(time.time())
        usual = {"iss": self.issuer, "aud": AUDIENCE, "iat": now, "exp": now + 300} | self.person | other
        return {name: value for name, value in usual.items() if value is not None}

    def token(self, algorithm: str = "RS256", headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token that is signed with the newest key."""
        name, key = next((n, k) for n, k in self.keys.items() if n.startswith("ec" if algorithm == "ES256" else "rsa"))
        return jwt.encode(self.claims(**claims), key, algorithm, headers={"kid": name} | (headers or {}))

    def token_by_public_key(self) -> str:
        """A token that is signed with HS256, and the public key as the secret."""
        name, key = next(iter(self.keys.items()))
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        parts = (json.dumps(part).encode() for part in ({"alg": "HS256", "kid": name}, self.claims()))
        signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
        signature = base64.urlsafe_b64encode(hmac.new(public, signed, hashlib.sha256).digest()).rstrip(b"=")
        return (signed + b"." + signature).decode()

    def answer(self, request: BaseHTTPRequestHandler, form: dict[str, str] | None) -> None:
        """Answer a request."""
        path, _, query = request.path.partition("?")
        self.answers[path] += 1
        status, body, headers = 200, {}, {}
        if path == CONFIGURATION:
            body = self.described() | self.changes
        elif path == KEYS:
            body = {"keys": [public(name, key) for name, key in self.keys.items()]}
        elif path == "/realm/moved":
            status, headers = 302, {"Location": f"{self.issuer}/keys"}
        elif path == "/realm/authorize":
            status, headers = 302, {"Location": self.authorize(dict_of(query))}
        elif path == "/realm/token" and form is not None:
            status, body = self.exchange(form, request.headers.get("Authorization"))
        else:
            status = 404
        raw = json.dumps(body).encode()
        request.send_response(status)
        for name, value in ({"Content-Length": str(len(raw))} | headers).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(raw)

    def described(self) -> dict[str, Any]:
        ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return {"issuer": self.issuer} | {name: f"{self.issuer}/{end}" for name, end in ends.items()}

    def authorize(self, asked: dict[str, str]) -> str:
        """Where a browser is sent back to."""
        assert (asked["response_type"], asked["client_id"], asked["code_challenge_method"]) == ("code", CLIENT, "S256")
        assert "openid" in asked["scope"].split()
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return asked["redirect_uri"] + "?" + urlencode({"code": code, "state": asked["state"]})

    def exchange(self, form: dict[str, str], authorization: str | None) -> tuple[int, dict[str, Any]]:
        """Status and tokens for a code. Each code works once."""
        asked = self.codes.get(form["code"], {})
        self.codes[form["code"]] = {}
        if self.secret is not None:
            both = f"{CLIENT}:secret%2Fof%20the%20page"
            known = authorization == "Basic " + base64.b64encode(both.encode()).decode()
        else:
            known = form.get("client_id") == CLIENT
        if not known:
            return 401, {"error": "invalid_client"}
        hashed = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if asked.get("code_challenge") != hashed or asked["redirect_uri"] != form["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        claims = {"aud": CLIENT, "nonce": asked["nonce"]} | self.person
        return 200, {"token_type": "Bearer", "access_token": "x", "id_token": self.token(**claims)}


def dict_of(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}


def public(name: str, key: Any) -> dict[str, Any]:
    """A key as the provider shows it."""
    kind = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return kind.to_jwk(key.public_key(), as_dict=True) | {"kid": name, "use": "sig"}


def path_of(address: str) -> str:
    """Path and query of an address."""
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}"
