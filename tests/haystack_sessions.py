"""Logins of a Project Haystack server: SCRAM and PLAINTEXT as Haxall does them, and the sessions opened.

The arithmetic of SCRAM (RFC 5802, RFC 7677) is written out here, so that a client is not proven by the
library that it uses itself. As in Haxall a user's name stands in SCRAM's messages as it is, without `=2C`
and `=3D`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import html
import secrets
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from haystack_folio import Refused

ITERATIONS = 10_000


@dataclass
class Answer:
    """An answer of HTTP; *refused* is one that the server makes an err grid of."""

    status: int
    reason: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    chunked: bool = False
    refused: Refused | None = None

    @classmethod
    def zinc(cls, text: str) -> Answer:
        body = text.encode("utf-8", "surrogatepass")  # as Java may send them
        return cls(200, "OK", {"Content-Type": "text/zinc"}, body, chunked=True)

    @classmethod
    def html(cls, status: int, why: str | None, headers: dict[str, str] | None = None) -> Answer:
        """What Haxall's web server sends for a failure, *why* as its reason and in its body."""
        title = HTTPStatus(status).phrase
        lines = [
            '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN"',
            ' "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">',
            "<html xmlns='http://www.w3.org/1999/xhtml'>",
            f"<head>\n<title>{status} {title}</title>\n</head>\n<body>\n<h1>{title}</h1>",
            *([html.escape(why).replace("&#x27;", "&#39;")] if why else []),
            "</body>\n</html>\n",
        ]
        kind = {"Content-Type": "text/html; charset=UTF-8"}
        return cls(status, why or title, {**kind, **(headers or {})}, "\n".join(lines).encode())


@dataclass
class Session:
    token: str
    user: str
    used_s: float
    calls: int = 0


class Sessions:
    """Who is logged in. *modes* are the server's, read at each call."""

    def __init__(self, users: dict[str, str], modes: Any) -> None:
        self.users, self._modes = users, modes
        self._open: dict[str, Session] = {}
        self._nonces: dict[str, str] = {}  # of the logins that have begun: whose
        self._lock = threading.Lock()
        self._pepper = secrets.token_bytes(16)

    def __len__(self) -> int:
        return len(self._open)

    def clear(self) -> None:
        with self._lock:
            self._open.clear()

    def close(self, session: Session) -> None:
        with self._lock:
            self._open.pop(session.token, None)

    def authorized(self, header: str | None) -> Session | Answer:
        """The session that *header* names, else the next step of a login."""
        if header is None:
            return Answer(303, "See Other", {"Location": "/user/login"})
        scheme, _, rest = header.partition(" ")
        params = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        params = {name.lower(): text for name, text in params.items()}
        try:
            if scheme.lower() == "bearer":
                return self._bearer(params.get("authtoken", ""))
            named = params.get("username") or params.get("handshaketoken")
            if named is None and not self._modes.odd_challenge:
                return Answer(400, "Missing username or handshakeToken in Authorization header")
            user = _decoded(named or "")
            if scheme.lower() == "hello":
                return self._hello(user)
            if scheme.lower() != ("plaintext" if self._modes.plaintext else "scram"):
                return Answer(400, f"Invalid auth scheme for user: {scheme}")
            if scheme.lower() == "plaintext":
                return self._plaintext(user, _decoded(params.get("password", "")))
            data = _decoded(params["data"])
            return self._first(params, data) if data.startswith(("n,", "y,")) else self._final(params, data)
        except (ValueError, KeyError, binascii.Error):
            return Answer(400, "Cannot parse Authorization header")

    def _bearer(self, token: str) -> Session | Answer:
        now = time.monotonic()
        with self._lock:
            session = self._open.get(token)
            if session:
                session.calls += 1
                limit = self._modes.expire_after
                if now - session.used_s > self._modes.lease_s or (
                    limit is not None and session.calls > limit
                ):
                    del self._open[token]
                    session = None
            if session is None:
                return Answer(403, "Invalid or expired authToken")
            session.used_s = now
            return session

    def _hello(self, user: str) -> Answer:
        if self._modes.plaintext:
            return Answer(401, "Auth challenge", {"WWW-Authenticate": "plaintext"})
        return self._challenge({"handshakeToken": _encoded(user), "hash": self._modes.hash})

    def _challenge(self, params: dict[str, str]) -> Answer:
        scheme = "scram"
        if self._modes.odd_challenge:  # all of it is allowed
            scheme = "SCRAM"
            params.pop("handshakeToken", None)
            params = {name.upper() if name == "hash" else name: params[name] for name in reversed(params)}
        text = ", ".join(f"{name}={value}" for name, value in params.items())
        return Answer(401, "Auth challenge", {"WWW-Authenticate": f"{scheme} {text}"})

    def _plaintext(self, user: str, password: str) -> Answer:
        if self.users.get(user) != password:
            return self._wrong()
        return self._login(user, {})

    def _first(self, params: dict[str, str], data: str) -> Answer:
        name, _, nonce = data.split(",", 2)[2].removeprefix("n=").rpartition(",r=")
        if not nonce:
            raise ValueError
        nonce += secrets.token_hex(16)
        with self._lock:
            self._nonces[nonce] = name
        salt = base64.b64encode(self._salt(name)).decode()
        answer = {"data": _encoded(f"r={nonce},s={salt},i={ITERATIONS}"), "hash": self._modes.hash}
        if "handshaketoken" in params:
            answer["handshakeToken"] = params["handshaketoken"]
        return self._challenge(answer)

    def _salt(self, user: str) -> bytes:
        return hmac.digest(self._pepper, user.encode(), "sha256")

    def _final(self, params: dict[str, str], data: str) -> Answer:
        fields = dict(part.partition("=")[::2] for part in data.split(","))
        nonce, proof = fields["r"], _bytes(fields["p"])
        with self._lock:
            user = self._nonces.pop(nonce, None)
        if user is None:
            return self._wrong()
        digest = self._modes.hash.replace("-", "").lower()
        salt = self._salt(user)
        salted = hashlib.pbkdf2_hmac(digest, self.users.get(user, "?").encode(), salt, ITERATIONS)
        first = f"n={user},r={nonce[:-32]},r={nonce},s={base64.b64encode(salt).decode()},i={ITERATIONS}"
        said = f"{first},c={fields['c']},r={nonce}".encode()
        client_key = hmac.digest(salted, b"Client Key", digest)
        stored_key = hashlib.new(digest, client_key).digest()
        signature = hmac.digest(stored_key, said, digest)
        wanted = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        if user not in self.users or not hmac.compare_digest(wanted, proof):
            return self._wrong()
        if self._modes.wrong_signature:
            salted = secrets.token_bytes(32)
        own = hmac.digest(hmac.digest(salted, b"Server Key", digest), said, digest)
        verifier = _encoded(f"v={base64.b64encode(own).decode()}")
        return self._login(user, {"hash": self._modes.hash, "data": verifier})

    def _wrong(self) -> Answer:
        return Answer(403, "Auth failed: Invalid username or password", {"x-hx-login-err": "Login failed"})

    def _login(self, user: str, params: dict[str, str]) -> Answer:
        try:
            token = self.opened(user).token
        except Refused as exc:
            return Answer(200, "OK", refused=exc)
        text = ", ".join(f"{name}={value}" for name, value in {"authToken": token, **params}.items())
        return Answer(200, "Auth successful", {"Authentication-Info": text})

    def opened(self, user: str) -> Session:
        """A new session."""
        with self._lock:
            if self._modes.max_sessions is not None and len(self._open) >= self._modes.max_sessions:
                raise Refused("hx::MaxSessionsErr", f"Max sessions exceeded for user: {user}")
            session = Session(f"web-{secrets.token_urlsafe(24)}", user, time.monotonic())
            self._open[session.token] = session
            return session


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    """Base 64 of either alphabet, with its padding or without."""
    text = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _decoded(text: str) -> str:
    return _bytes(text).decode()
