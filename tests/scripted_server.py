"""A server that says what a test scripts, byte for byte: right, wrong, late or cut short."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

DEADLINE_S = 20.0
# The end of a connection then comes with its last bytes: no client asks again on it in the moment between.
_CORK: int | None = getattr(socket, "TCP_CORK", None)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Server:
    """Answers each connection with the next of *scripts*, the last one again and again."""

    def __init__(
        self, *scripts: bytes | Callable[[socket.socket], object], tls: ssl.SSLContext | None = None
    ):
        self.scripts, self.tls = list(scripts), tls
        self.heard: list[bytes] = []  # heads and bodies of requests, as they came
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            script = self.scripts[min(self.connections, len(self.scripts) - 1)]
            self.connections += 1
            with contextlib.suppress(OSError), connection:
                if self.tls is not None:
                    connection = self.tls.wrap_socket(connection, server_side=True)
                with connection:
                    connection.settimeout(DEADLINE_S)
                    if callable(script):
                        script(connection)
                    else:
                        self.hear(connection)
                        if _CORK is not None:
                            connection.setsockopt(socket.IPPROTO_TCP, _CORK, 1)
                        connection.sendall(script)

    def hear(self, connection: socket.socket) -> bytes:
        """A request with its body, where its length is told."""
        heard = b""
        while b"\r\n\r\n" not in heard:
            if not (data := connection.recv(65536)):
                return b""
            heard += data
        head, _, body = heard.partition(b"\r\n\r\n")
        lengths = [
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Len")
        ]
        while lengths and len(body) < lengths[0]:
            body += connection.recv(65536)
        self.heard.append(head + b"\r\n\r\n" + body)
        return self.heard[-1]


def answered(status: str, *headers: str, body: bytes = b"") -> bytes:
    """An answer with its length."""
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""])
    return head.encode() + body


def hears(connection: socket.socket) -> None:
    """Take a request without a body."""
    while b"\r\n\r\n" not in connection.recv(65536):
        pass


def resets(connection: socket.socket) -> None:
    """Take a request and break the connection rudely."""
    hears(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]
