"""A client of Project Haystack that knows only HTTP, for what no library would send."""

from __future__ import annotations

import base64
import http.client

from haystack_kinds import Grid
from haystack_reading import read
from haystack_server import HaystackServer

ZINC = {"Content-Type": "text/zinc; charset=utf-8", "Accept": "text/zinc"}


class Plain:
    """A client with a session of *server*'s, or with another *token*."""

    def __init__(self, server: HaystackServer, token: str | None = None) -> None:
        self.server = server
        self.token = server.open_session() if token is None else token

    def call(
        self,
        op: str,
        body: str | bytes | None = None,
        *,
        method: str | None = None,
        headers: dict[str, str] = ZINC,
        auth: str | None = None,
        path: str | None = None,
    ) -> tuple[http.client.HTTPResponse, str]:
        """The answer and its body; *auth* in place of the token."""
        auth = f"BEARER authToken={self.token}" if auth is None else auth
        body = body.encode() if isinstance(body, str) else body
        method = method or ("GET" if body is None else "POST")
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        try:
            headers = {**headers, **({"Authorization": auth} if auth else {})}
            connection.request(method, path or f"{self.server.path}/{op}", body, headers)
            answer = connection.getresponse()
            return answer, answer.read().decode()
        finally:
            connection.close()

    def grid(self, op: str, body: str) -> Grid:
        """The grid that answers, an err grid or not."""
        answer, text = self.call(op, body)
        assert answer.status == 200, answer.reason
        return read(text)

    def error(self, op: str, body: str) -> tuple[str, str] | None:
        """The errType of the err grid that answers, and what it says; None when it is none."""
        meta = self.grid(op, body).meta
        return (meta["errType"], meta["dis"].removeprefix(meta["errType"] + ": ")) if "err" in meta else None


def encoded(text: str) -> str:
    """*text* as the headers of a login have it."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
