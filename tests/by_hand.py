"""Sources and receivers made by hand of plain sockets and fastavro: no code of the program is in them."""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import fastavro

LOOPBACK = "127.0.0.1"
DISCOVERY = ("239.1.1.3", 25999)
DEADLINE_S = 20.0
NOON = 1_764_763_200_000_000_000

RIG_TEXT = (
    '{"type": "record", "name": "rig", "fields": ['
    '{"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},'
    '{"name": "volts", "type": "double", "unit": "V"}, {"name": "note", "type": "string"}]}'
)
BULK_TEXT = (
    '{"type": "record", "name": "bulk", "fields": ['
    '{"name": "time", "type": "long"}, {"name": "filling", "type": "bytes"}]}'
)
_parsed = {
    text: fastavro.parse_schema(json.loads(text.replace(', "logicalType": "timestamp-nanos"', "")))
    for text in (RIG_TEXT, BULK_TEXT)
}


def encoded(schema_text: str, record: dict[str, object]) -> bytes:
    """One bare datum, by fastavro."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, _parsed[schema_text], record)
    return stream.getvalue()


def rig(numbers: Iterable[int], note: str = "") -> list[bytes]:
    """Datums of RIG_TEXT, of different sizes."""
    return [
        encoded(RIG_TEXT, {"time": NOON + n, "volts": n / 8, "note": note or "x" * (n % 7)}) for n in numbers
    ]


def bulk(numbers: Iterable[int], size: int) -> list[bytes]:
    """Datums of BULK_TEXT of about *size* bytes."""
    return [encoded(BULK_TEXT, {"time": n, "filling": bytes([n % 256]) * size}) for n in numbers]


def announcement(schema_text: str, **said: object) -> bytes:
    """A container header without a block; keywords are its `speeddata.*` metadata."""
    metadata = {"avro.schema": schema_text, "avro.codec": "null"}
    metadata |= {f"speeddata.{key}": str(value) for key, value in said.items()}
    header = io.BytesIO()
    header.write(b"Obj\x01")
    as_bytes = {key: value.encode() for key, value in metadata.items()}
    fastavro.schemaless_writer(header, {"type": "map", "values": "bytes"}, as_bytes)
    return header.getvalue() + secrets.token_bytes(16)


def announced(datagram: bytes) -> dict[str, str]:
    """The metadata of an announcement, keys without `speeddata.`."""
    metadata = fastavro.reader(io.BytesIO(datagram)).metadata
    return {key.removeprefix("speeddata."): value for key, value in metadata.items()}


class Source:
    """A source: announces itself from the socket of its datums, with the count it claims to have sent."""

    def __init__(
        self,
        name: str,
        port: int,
        *,
        schema_text: str = RIG_TEXT,
        session: str = "",
        host: str = LOOPBACK,
        sent: int = 0,
    ) -> None:
        self.name, self.to, self.schema_text, self.sent = name, (LOOPBACK, port), schema_text, sent
        self.session = session or secrets.token_hex(8)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((host, 0))
        self.address = self.sock.getsockname()

    def announce(self, state: str = "live") -> None:
        said = {"channel": self.name, "session": self.session, "role": "source"}
        self.sock.sendto(announcement(self.schema_text, **said, sent=self.sent, state=state), self.to)

    def send(self, datums: list[bytes]) -> None:
        for datum in datums:
            self.sock.sendto(datum, self.to)
        self.sent += len(datums)

    def say(self, *datagrams: bytes) -> None:
        """Send what is not counted."""
        for datagram in datagrams:
            self.sock.sendto(datagram, self.to)

    def end(self) -> None:
        self.announce("end")


class Member:
    """A member of one group on loopback."""

    def __init__(self, group: str, port: int, buffer_bytes: int = 8 << 20) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, 33, buffer_bytes)  # SO_RCVBUFFORCE, where we may
        self.sock.bind((group, port))
        membership = struct.pack("4s4s", socket.inet_aton(group), socket.inet_aton(LOOPBACK))
        self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        self.sock.setblocking(False)

    def datagrams(self, seconds: float) -> Iterator[tuple[bytes, tuple[str, int]]]:
        """What arrives within so many seconds."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            try:
                yield self.sock.recvfrom(1 << 16)
            except BlockingIOError:
                if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                    return
            else:
                if seconds and left <= 0:
                    return

    def take(self, count: int, deadline_s: float = DEADLINE_S) -> list[bytes]:
        """The next *count* datagrams; fails the test when fewer come."""
        got: list[bytes] = []
        for datagram, _ in self.datagrams(deadline_s if count else 0):
            got.append(datagram)
            if len(got) == count:
                return got
        assert len(got) == count
        return got

    def waiting(self) -> list[bytes]:
        """What is there already."""
        return [datagram for datagram, _ in self.datagrams(0)]


class Discovery(Member):
    """Listens to the discovery group, where all tests meet: only names of one's own are looked at."""

    def __init__(self) -> None:
        super().__init__(*DISCOVERY)
        self.asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
        self.query = announcement('"null"', channel="*", session=secrets.token_hex(8), role="query")

    def ask(self) -> None:
        self.asker.sendto(self.query, DISCOVERY)

    def hear(
        self,
        name: str,
        condition: Callable[[dict[str, str]], object] = bool,
        *,
        source: Callable[[tuple[str, int]], object] = bool,
        deadline_s: float = DEADLINE_S,
        ask: bool = True,
    ) -> dict[str, str]:
        """The first announcement of channel *name* by a relay that is now as *condition* wants it."""
        last: dict[str, str] = {}
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            if ask:
                self.ask()
            for datagram, address in self.datagrams(0.1):
                if name.lower().encode() not in datagram.lower():
                    continue  # of another test: there may be many
                said = announced(datagram)
                if said["role"] == "relay" and said["channel"].lower() == name.lower() and source(address):
                    last = said
                    if condition(said):
                        return {**said, "from": f"{address[0]}:{address[1]}"}
        raise AssertionError(f"{name}: never so, but {last}")

    def received(self, name: str, count: int, **more: object) -> dict[str, str]:
        """Wait until a relay has received so many datums of channel *name*."""
        return self.hear(name, lambda said: int(said["received"]) >= count, **more)  # type: ignore[arg-type]


def endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


_given: set[int] = set()


def has_ipv6() -> bool:
    """Whether this machine has an address of IPv6; that Python knows it does not say so."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind(("::1", 0))
        return True
    return False


def unused_port() -> int:
    """A UDP port that is free, another one at each call, and out of reach of sockets that bind to any port.

    A relay needs a moment to start: until then nobody may come upon its port by chance.
    """
    while True:
        port = 10_000 + secrets.randbelow(9_000)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            sock.bind(("0.0.0.0", port))
            if port not in _given:
                _given.add(port)
                return port


def is_listening(port: int) -> bool:
    """Whether somebody receives at a port of ours: the kernel says at once where nobody does.

    What is sent to find out is a question, which a relay passes over there.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((LOOPBACK, port))
        with contextlib.suppress(ConnectionRefusedError):
            question = announcement('"null"', channel="*", session="probe", role="query")
            sock.send(question)
            sock.send(question)
            return True
    return False


def recordings(directory: Path, name: str) -> list[Path]:
    """The files of a channel, in recording order."""
    return sorted((directory / name).glob(f"{name}_*Z.avro"))


def recorded(*files: Path) -> bytes:
    """The datums of *files*, end to end, as fastavro finds them."""
    pieces = []
    for path in files:
        with open(path, "rb") as file:
            pieces += [block.bytes_.getvalue() for block in fastavro.block_reader(file)]
    return b"".join(pieces)


def records(*files: Path) -> list[dict[str, object]]:
    """The datums of *files*, decoded by fastavro."""
    found: list[dict[str, object]] = []
    for path in files:
        with open(path, "rb") as file:
            found += fastavro.reader(file)  # type: ignore[arg-type]
    return found


def metadata(path: Path) -> dict[str, str]:
    with open(path, "rb") as file:
        return dict(fastavro.reader(file).metadata)


def ledger(directory: Path, name: str, kind: str) -> dict[str, int]:
    """Sums of the counts in the lines of one *kind*."""
    lines = [json.loads(line) for line in (directory / name / "ledger.jsonl").read_text().splitlines()]
    keys = ("received", "recorded", "lost", "lost_kernel", "lost_disk", "rejected")
    return {key: sum(line[key] for line in lines if line["kind"] == kind) for key in keys}


class Bench:
    """What a test of the relay needs: relays, sources, members, all gone when the test ends."""

    def __init__(self, spawn, free_port, wait_for) -> None:  # type: ignore[no-untyped-def]
        self._spawn, self._free_port, self._wait_for = spawn, free_port, wait_for
        self._stack = contextlib.ExitStack()
        self.discovery = self._kept(Discovery())
        self._stack.callback(self.discovery.asker.close)

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def _kept(self, thing):  # type: ignore[no-untyped-def]
        self._stack.callback(thing.sock.close)
        return thing

    def relay(self, *args: object, **kwargs: object):  # type: ignore[no-untyped-def]
        """A relay that listens for announced sources at its attribute `port`, and records in `data`."""
        port = self._free_port()
        relay = self._spawn("relay", "--listen", f"{LOOPBACK}:{port}", *args, **kwargs)
        relay.port = port
        self.listening(relay, port)
        return relay

    def listening(self, relay, port: int) -> None:  # type: ignore[no-untyped-def]
        """Wait until *relay* receives at *port*."""
        self._wait_for(lambda: is_listening(port) or not relay.running)
        assert relay.running, relay.stderr.rest()

    def source(self, name: str, port: int, **kwargs: object) -> Source:
        return self._kept(Source(name, port, **kwargs))  # type: ignore[arg-type]

    def begun(self, name: str, port: int, **kwargs: object) -> tuple[Source, dict[str, str]]:
        """A source that a relay has heard of, and what the relay said of it."""
        source = self.source(name, port, **kwargs)
        source.announce()
        return source, self.discovery.hear(name, lambda said: said["session"] == source.session)

    def member(self, where: str | tuple[str, int], **kwargs: int) -> Member:
        return self._kept(Member(*(endpoint(where) if isinstance(where, str) else where), **kwargs))
