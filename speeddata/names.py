"""Names and addresses as values: channels, endpoints, the groups everyone knows."""

from __future__ import annotations

import ipaddress
import re
import zlib
from dataclasses import dataclass
from functools import cached_property

from speeddata.errors import UsageError

LISTEN_PORT = 26000
FULL_GROUP = "239.1.1.1"
DECIMATED_GROUP = "239.1.1.2"

_CHANNEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_NAME_RULE = "a letter or _, then up to 63 letters, digits, _ . or -, not ending in .avro"
_PORT = re.compile(r"[0-9]{1,5}")
_DERIVED_PORTS = range(20000, 30000)


def is_channel_name(text: str) -> bool:
    """Whether *text* may name a channel, and so a directory and a file."""
    return _CHANNEL_NAME.fullmatch(text) is not None and not text.lower().endswith(".avro")


def channel_name(text: str) -> str:
    """*text* itself, if it may name a channel.

    Raises:
        UsageError: it may not; says what may.
    """
    if not is_channel_name(text):
        raise UsageError(f"'{text[:80]}' is no channel name", mend=f"use {_NAME_RULE}")
    return text


def derived_port(name: str) -> int:
    """The port that a relay tries first for the groups of channel *name*, whatever its case."""
    return _DERIVED_PORTS[zlib.crc32(name.lower().encode()) % len(_DERIVED_PORTS)]


@dataclass(frozen=True, order=True)
class Endpoint:
    """An IP address, always a literal, and a UDP or TCP port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, default_host: str | None = None) -> Endpoint:
        """Read `ADDR:PORT`, `[IPV6]:PORT`, or a bare `PORT` where there is a *default_host*.

        ADDR is a literal address, or `localhost` for 127.0.0.1: a name server is never asked.

        Raises:
            UsageError: *text* is nothing of the kind.
        """
        host, colon, port = text.rpartition(":")
        if not colon:
            if default_host is None or not _PORT.fullmatch(port):
                wanted = "ADDR:PORT" if default_host is None else "ADDR:PORT or PORT"
                raise UsageError(f"'{text}' is no endpoint", mend=f"write {wanted}, such as 127.0.0.1:26000")
            host = default_host
        bracketed = host.startswith("[") and host.endswith("]")
        if ":" in host and not bracketed and colon:
            raise UsageError(
                f"'{text}' is no endpoint", mend="write an IPv6 address in brackets: [::1]:26000"
            )
        return cls(_literal(host[1:-1] if bracketed else host, text), _port(port, text))

    @property
    def address(self) -> tuple[str, int]:
        """The pair that sockets take."""
        return self.host, self.port

    @cached_property
    def is_group(self) -> bool:
        """Whether this is a multicast group."""
        return ipaddress.ip_address(self.host).is_multicast

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


DISCOVERY = Endpoint("239.1.1.3", 25999)


def _literal(host: str, text: str) -> str:
    if host == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
        if host.isascii() and host.isprintable():  # the scope of an IPv6 address may hold anything
            return str(address)
        raise ValueError
    except ValueError:
        raise UsageError(
            f"'{host}' in '{text}' is no IP address", mend="write it as digits, such as 192.168.1.7"
        ) from None


def _port(port: str, text: str) -> int:
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise UsageError(f"'{port}' in '{text}' is no port", mend="use a number from 1 to 65535")
    return int(port)
