"""A server's address as given, in one spelling, and refused where a password would travel in clear text."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, urlsplit

from speeddata.errors import UsageError

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\.?")
_PATH_SAFE = "/%:@!$&'()*+,;=~-._"  # RFC 3986: what a path may have as it is
_KEY_HOST = 64  # characters of the host in `Target.key`


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to talk to, as whom.

    Attributes:
        scheme: `https`, or `http`.
        host: a name in lower case and ASCII, or an address; IPv6 without brackets.
        port: 1 to 65535.
        path: of the whole base, as in `/api/demo/`; begins and ends with a slash.
        user: who logs in.
        ca_file: PEM file with the authorities to trust, in place of the system's.
    """

    scheme: str
    host: str
    port: int
    path: str
    user: str
    ca_file: Path | None = None

    @classmethod
    def parse(
        cls, url: str, *, user: str, allow_cleartext: bool = False, ca_file: Path | None = None
    ) -> Target:
        """The target of a base address such as `https://host/api/demo`.

        Raises:
            UsageError: it is none, has a password in it, or is http to another host and that was not
                allowed by *allow_cleartext*.
        """
        scheme, host, port, path = _parts(url)
        target = cls(scheme, host, port, path, _user(user), ca_file)
        if not (target.secure or allow_cleartext or _is_loopback(host)):
            raise UsageError(
                f"http to {host} would send everything in clear text",
                where="--url",
                mend="use https://, or --allow-cleartext where that is meant",
            )
        return target

    @property
    def secure(self) -> bool:
        """Whether TLS guards what is said."""
        return self.scheme == "https"

    @property
    def url(self) -> str:
        """The base address, every spelling of it the same text; ends with a slash."""
        return f"{self.origin}{self.path}"

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{'' if self.port == _PORTS[self.scheme] else f':{self.port}'}"

    @property
    def key(self) -> str:
        """A name for files: the host for people, then 12 digits of the base address's SHA-256.

        The user is not in it: what has arrived has arrived, whoever brought it.
        """
        readable = re.sub(r"[^a-z0-9.-]", "_", self.host).strip(".-")[:_KEY_HOST]
        return f"{readable}-{hashlib.sha256(self.url.encode()).hexdigest()[:12]}"

    def __str__(self) -> str:
        return self.url


def _parts(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path of *url*."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        _refuse(url, str(exc))
    if "@" in parts.netloc:  # not shown: there may be a password in it
        raise UsageError("a user or password in the address", where="--url", mend="give the user with --user")
    if any(c.isspace() or not c.isprintable() or c in '\\"<>^`{|}' for c in url):
        _refuse(url, "characters that no address has")
    if parts.scheme not in _PORTS or not parts.hostname:
        _refuse(url, "no address that begins with https:// and a host")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        _refuse(url, "an address with '?' or '#'")
    if port == 0:
        _refuse(url, "port 0")
    segments = [segment for segment in parts.path.split("/") if segment]
    if {".", ".."} & set(segments):
        _refuse(url, "'.' or '..' in the path")
    path = quote("/".join(["", *segments, ""]), safe=_PATH_SAFE)
    return parts.scheme, _host(parts.hostname, url), port or _PORTS[parts.scheme], path


def _host(host: str, url: str) -> str:
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host).compressed
        except ValueError:
            _refuse(url, "no such IPv6 address")
    try:
        ascii_host = host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        _refuse(url, "a host name that cannot be")
    if not _HOST.fullmatch(ascii_host := ascii_host.lower()):
        _refuse(url, "a host name that cannot be")
    return ascii_host


def _refuse(url: str, why: str) -> NoReturn:
    shown = "" if "@" in url else f"'{url}': "
    raise UsageError(
        f"{shown}{why}", where="--url", mend="give the whole base, such as https://host/api/demo"
    )


def _is_loopback(host: str) -> bool:
    if host.rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _user(user: str) -> str:
    if not user or any(ord(c) < 32 or ord(c) == 127 for c in user):
        raise UsageError("no name of a user", where="--user")
    try:
        user.encode()
    except UnicodeEncodeError:  # a byte of the command line that is no UTF-8
        raise UsageError("the name is no UTF-8 text", where="--user") from None
    return user
