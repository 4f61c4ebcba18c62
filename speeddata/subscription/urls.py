"""The parts of a connection string `SCHEME://USER:PASSWORD@HOST:PORT,HOST:PORT/NAME?PARAMETER=VALUE&...`.

No error has any of the text in it, only which part is wrong: where somebody forgot to escape a character,
any part may be a piece of the password.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Final, NamedTuple, NoReturn, TypeVar
from urllib.parse import unquote_to_bytes

from speeddata.errors import UsageError

_Word = TypeVar("_Word", bound=str)

_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_][a-z0-9_-]{0,62}(\.[a-z0-9_][a-z0-9_-]{0,62})*\.?")
_PORT = re.compile(r"[0-9]{1,5}")
_ESCAPE_WRONG = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_OPTION = re.compile(r"[a-z][a-z0-9]*(?:[._][a-z0-9]+)*")
_OPTION_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")

# Options of librdkafka that are not the user's, and why (its CONFIGURATION.md has them all).
_FIXED = "what is promised of the delivery rests on it"
_OURS = "it is given by other parts of this text"
_DENIED: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            *("acks", "request.required.acks", "enable.idempotence", "enable.gapless.guarantee"),
            *("delivery.timeout.ms", "message.timeout.ms", "message.send.max.retries", "retries"),
            *("max.in.flight", "max.in.flight.requests.per.connection", "queuing.strategy", "partitioner"),
            *("transactional.id", "transaction.timeout.ms", "delivery.report.only.error", "isolation.level"),
            *("auto.offset.reset", "auto.commit.enable", "auto.commit.interval.ms", "enable.auto.commit"),
            *("enable.auto.offset.store", "offset.store.method", "group.id", "group.instance.id"),
            *("check.crcs", "consume.callback.max.messages"),
        ),
        _FIXED,
    ),
    **dict.fromkeys(("enable.ssl.certificate.verification",), "TLS is always verified"),
    **dict.fromkeys(("ssl.endpoint.identification.algorithm",), "TLS is always verified"),
    **dict.fromkeys(("bootstrap.servers", "metadata.broker.list", "security.protocol"), _OURS),
    **dict.fromkeys(("ssl.ca.location", "ssl.ca.pem", "ssl.ca.certificate.stores"), _OURS),
    "plugin.library.paths": "it would run code of others",
}
_DENIED_KINDS = {"sasl.": _OURS, "test.": "it is for tests of the library", "topic.": "it is for its own use"}


class Server(NamedTuple):
    text: str
    loopback: bool


class Url(NamedTuple):
    """`USER:PASSWORD@SERVERS/NAME?QUERY`; *login* is a user and a password, None where there is no colon."""

    login: tuple[str, str | None] | None
    servers: list[str]
    name: str
    query: list[str]


def cut(rest: str) -> Url:
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    authority, behind = rest[:end], rest[end:]
    if "@" not in authority and "@" in behind:
        mend = "in a user or password write / as %2F, ? as %3F, # as %23; elsewhere write @ as %40"
        refuse("servers: an @ behind their end", mend)
    if "#" in behind:
        refuse("a # behind the servers", "write it as %23")
    login, at, servers = authority.rpartition("@")
    path, _, query = behind.partition("?")
    name = _unescaped(path.strip("/"), "what stands behind the servers")
    return Url(_login(login) if at else None, servers.split(","), name, query.split("&") if query else [])


def _login(text: str) -> tuple[str, str | None]:
    user, colon, password = text.partition(":")
    if not user:
        refuse("user: is empty", "write USER:PASSWORD@ before the server, or nothing")
    if colon and not password:
        refuse("password: is empty", "write USER:PASSWORD@ before the server")
    return _unescaped(user, "user"), _unescaped(password, "password") if colon else None


def _unescaped(text: str, part: str) -> str:
    coded = text.encode()
    if _ESCAPE_WRONG.search(coded):
        refuse(f"{part}: a % that begins no %XX", "write % as %25")
    try:
        plain = unquote_to_bytes(coded).decode()
    except UnicodeDecodeError:
        plain = "\0"
    if any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in plain):
        refuse(f"{part}: its %XX are no text in UTF-8, or control characters")
    return plain


def server(text: str, place: int, port: int, *, part: str = "") -> Server:
    """`HOST:PORT`, the port *port* where none is given."""
    part = part or f"server {place}"
    bracketed = re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", text)
    if bracketed:
        host, given = bracketed[1], bracketed[2]
    else:
        host, colon, after = text.partition(":")
        given = after if colon else None
        if ":" in after:
            mend = "write an IPv6 address in brackets, [::1]:4222; several servers with commas between"
            refuse(f"{part}: more than one colon", mend)
    if not host:
        refuse(f"{part}: has no host")
    if given is not None and not (_PORT.fullmatch(given) and 1 <= int(given) <= 65535):
        refuse(f"{part}: its port is no number from 1 to 65535")
    host, loopback = _host(host, part, six=bool(bracketed))
    return Server(f"{host}:{port if given is None else int(given)}", loopback)


def _host(host: str, part: str, *, six: bool) -> tuple[str, bool]:
    """*host* in one spelling, and whether it is this machine."""
    if six:
        try:
            address = ipaddress.IPv6Address(host)
            if address.scope_id is None:
                return f"[{address.compressed}]", address.is_loopback
        except ValueError:
            pass
        refuse(f"{part}: no IPv6 address in its brackets")
    try:
        name = (host if host.isascii() else host.encode("idna").decode()).lower()
    except UnicodeError:
        name = ""
    if not _HOST.fullmatch(name):
        refuse(f"{part}: no name of a host")
    if re.fullmatch(r"[0-9.]+", name):
        try:
            return name, ipaddress.IPv4Address(name).is_loopback
        except ValueError:
            refuse(f"{part}: no IPv4 address")
    return name, name.rstrip(".") == "localhost"


class Parameters:
    """What stands behind `?`: every name known, none of them twice."""

    def __init__(self, query: list[str], known: tuple[str, ...], *, options: bool = False) -> None:
        self.options: dict[str, str] = {}
        self._given: dict[str, str] = {}
        for place, each in enumerate(query, 1):
            name, equals, value = each.partition("=")
            part = f"parameter {place}"
            if not (equals and value):
                refuse(f"{part}: no NAME=VALUE", nearest(name, known, "="))
            if name.startswith("x.") and options:
                self._option(part, _unescaped(name[2:], part), _unescaped(value, part))
                continue
            name = name.lower().replace("_", "-")
            if name not in known:
                every = f"they are {', '.join(known)}{', x.OPTION of librdkafka' if options else ''}"
                refuse(f"{part}: no such parameter", nearest(name, known, "=") or every)
            if name in self._given:
                refuse(f"{name}: is there twice")
            self._given[name] = _unescaped(value, name)

    def text(self, name: str) -> str:
        return self._given.get(name, "")

    def flag(self, name: str) -> bool:
        value = self.text(name)
        if value not in ("", "1"):
            refuse(f"{name}: is not 1", f"write {name}=1, or leave it out")
        return bool(value)

    def one_of(self, name: str, values: Sequence[_Word]) -> _Word | None:
        given = self.text(name).lower()
        for value in values:
            if value.lower() == given:
                return value
        return refuse(f"{name}: no such one", f"one of {', '.join(values)}") if given else None

    def _option(self, part: str, name: str, value: str) -> None:
        if not _OPTION.fullmatch(name):
            refuse(f"{part}: no name of an option behind x.", "write it as librdkafka does, x.linger.ms=50")
        kinds = (why for kind, why in _DENIED_KINDS.items() if name.startswith(kind) or name.endswith("_cb"))
        why = _DENIED.get(name) or next(kinds, "")
        if why:
            shown = f"x.{name}" if name in _DENIED else part
            refuse(f"{shown}: this option is not to be set: {why}", "leave it out")
        if not _OPTION_VALUE.fullmatch(value):
            refuse(f"{part}: no value of an option", "write plain characters, without blanks around them")
        if name in self.options:
            refuse(f"{part}: an option that is there twice")
        self.options[name] = value


def refuse(what: str, mend: str = "") -> NoReturn:
    raise UsageError(what, where="destination", mend=mend) from None


def nearest(given: str, known: Iterable[str], after: str = "", shown: Mapping[str, str] | None = None) -> str:
    near = get_close_matches(given[:64], list(known), n=1)
    return f"did you mean {(shown or {}).get(near[0], near[0])}{after}?" if near else ""
