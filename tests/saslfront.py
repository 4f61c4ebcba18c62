"""A door of TLS and SASL/PLAIN before a broker of Kafka's protocol, as Azure Event Hubs have it.

By kafka.apache.org/protocol: a request is its length, API key, API version, correlation id and client id;
SaslHandshake is key 17, SaslAuthenticate 36. All others pass as they are, once the client is in.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import threading
from collections.abc import Iterator

_VERSIONS, _HANDSHAKE, _AUTHENTICATE = 18, 17, 36
_WRONG = 58  # SASL_AUTHENTICATION_FAILED


class Front:
    """The door; whoever changes `key` has renewed it.

    Attributes:
        port: where it listens.
        logins: names and passwords that came, in their order.
    """

    def __init__(self, tls: ssl.SSLContext, broker_port: int, key: str) -> None:
        self.key = key
        self.logins: list[tuple[str, str]] = []
        self._tls, self._broker_port = tls, broker_port
        self.port = 0

    @contextlib.contextmanager
    def open(self, port: int = 0) -> Iterator[Front]:
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", port, ssl=self._tls))
        self.port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(_ended(server), loop).result(20)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(20)
            loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError), contextlib.closing(writer):
            if await self._let_in(reader, writer):
                there, back = await asyncio.open_connection("127.0.0.1", self._broker_port)
                with contextlib.closing(back):
                    await asyncio.wait(
                        [asyncio.ensure_future(_pass(*way)) for way in ((reader, back), (there, writer))],
                        return_when=asyncio.FIRST_COMPLETED,
                    )

    async def _let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        while True:
            key, version, correlation, body = await _request(reader)
            answer = struct.pack(">i", correlation)
            if key == _VERSIONS:  # version 0, with an error for newer ones
                answer += struct.pack(">hi", 35 if version else 0, len(_KEYS))
                answer += b"".join(struct.pack(">hhh", *versions) for versions in _KEYS)
            elif key == _HANDSHAKE:
                answer += struct.pack(">hih5s", 0, 1, 5, b"PLAIN")
            else:
                assert key == _AUTHENTICATE
                (length,) = struct.unpack_from(">i", body)
                _, user, password = body[4 : 4 + length].decode().split("\0")
                self.logins.append((user, password))
                right = user == "$ConnectionString" and f";SharedAccessKey={self.key};" in password
                text = b"" if right else b"Invalid SharedAccessKey in " + password.encode()
                answer += struct.pack(">hh", 0 if right else _WRONG, len(text)) + text + struct.pack(">i", 0)
                answer += struct.pack(">q", 0) if version else b""
            writer.write(struct.pack(">i", len(answer)) + answer)
            await writer.drain()
            if key == _AUTHENTICATE:
                return right


# what a client may use: key, oldest and newest version
_KEYS = [
    (_HANDSHAKE, 0, 1),
    (_VERSIONS, 0, 0),
    (_AUTHENTICATE, 0, 1),
    (0, 3, 9),  # Produce
    (1, 4, 12),  # Fetch
    (2, 1, 7),  # ListOffsets
    (3, 1, 12),  # Metadata
    (8, 2, 9),  # OffsetCommit
    (9, 1, 9),  # OffsetFetch
    (10, 0, 4),  # FindCoordinator
    (11, 0, 9),  # JoinGroup
    (12, 0, 4),  # Heartbeat
    (13, 0, 5),  # LeaveGroup
    (14, 0, 5),  # SyncGroup
    (19, 0, 4),  # CreateTopics
    (22, 0, 4),  # InitProducerId
]


async def _request(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    (length,) = struct.unpack(">i", await reader.readexactly(4))
    data = await reader.readexactly(length)
    key, version, correlation, client = struct.unpack_from(">hhih", data)
    return key, version, correlation, data[10 + max(client, 0) :]


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


async def _ended(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
