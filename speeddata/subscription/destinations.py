"""A destination's connection string: read once, held to what it promises, shown without its secrets.

No error has any of the text in it, only which part is wrong: where somebody forgot to escape a character,
any part may be a piece of the password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args
from urllib.parse import quote

from speeddata.subscription.urls import Parameters, Url, cut, nearest, refuse, server

OnMissing = Literal["create", "wait", "fail"]
Sasl = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_ON_MISSING: tuple[OnMissing, ...] = get_args(OnMissing)
_SASL: tuple[Sasl, ...] = get_args(Sasl)

MAX_TEXT: Final = 4096  # characters: beyond that it is something else
SUBJECT: Final = "speeddata.{customer}.{channel}"
EVENT_HUBS_USER: Final = "$ConnectionString"
_HIDDEN = "***"

_SCHEMES = {"nats": 4222, "tls": 4222, "kafka": 9092, "kafka+ssl": 9093}  # and the port where none is given
_EVENT_HUBS_PORT = 9093
_EVENT_HUBS_PARTS = ("Endpoint", "SharedAccessKeyName", "SharedAccessKey", "EntityPath")
_CA_PART = "Ca"  # ours, behind theirs
_FORMS = "sqlite:PATH, -, nats://HOST/STREAM, tls://HOST/STREAM, kafka://HOST/TOPIC, kafka+ssl://HOST/TOPIC"

_SECRET = re.compile(r"password|secret|pem|token|jaas|credential")  # names of options that hold one
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_STREAM = re.compile(r"[A-Za-z0-9_-]{1,255}")  # what nats-server takes of it and files as well
_TOPIC = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}")  # Kafka's own rule
_TOKEN = re.compile(r"(?:[A-Za-z0-9_$=:+/@-]|\{customer\}|\{channel\})+")  # of a subject, between its dots


@dataclass(frozen=True, slots=True, repr=False)
class Destination:
    """Where messages go; one of the classes below. Its text is safe to show, `repr` too."""

    @staticmethod
    def parse(text: str) -> Destination:
        """The destination that a connection string is; blanks and line ends around it do not count.

        Raises:
            UsageError: it is none; tells which part is wrong, and has nothing of *text* in it.
        """
        return _parsed(text.strip())

    @property
    def redacted(self) -> str:
        """The connection string for people: whole but for what must stay secret."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.redacted

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.redacted}>"


@dataclass(frozen=True, slots=True, repr=False)
class LogFile(Destination):
    """The embedded log; *path* of its file, empty for the usual one."""

    path: str = ""

    @property
    def redacted(self) -> str:
        return f"sqlite:{self.path}" if self.path else "the log of this machine"


@dataclass(frozen=True, slots=True, repr=False)
class Stdout(Destination):
    """Lines on standard output."""

    @property
    def redacted(self) -> str:
        return "-"


@dataclass(frozen=True, slots=True, repr=False)
class Nats(Destination):
    """A stream of NATS JetStream.

    Attributes:
        servers: each `HOST:PORT`, IPv6 in brackets; any of them will do.
        stream: its name.
        subject: of what is sent, with `{customer}` and `{channel}`; see `subject_of`.
        tls: whether TLS, always verified, guards the connection.
        user, password: or *token*, or *creds*, the path of a credentials file; empty where not given.
        ca: path of a PEM file with the authorities to trust in place of the system's; empty: the system's.
        insecure: clear text to another host was allowed.
        on_missing: what to do where the stream is not there.
    """

    servers: tuple[str, ...]
    stream: str
    subject: str = SUBJECT
    tls: bool = False
    user: str = ""
    password: str = ""
    token: str = ""
    creds: str = ""
    ca: str = ""
    insecure: bool = False
    on_missing: OnMissing = "create"

    def subject_of(self, customer: str, channel: str) -> str:
        """The subject for messages of *channel*; a dot that would leave a token empty is written `%2E`."""
        names = {"customer": _tokens(customer), "channel": _tokens(channel)}
        return re.sub(r"\{(\w+)\}", lambda match: names[match[1]], self.subject)

    @property
    def redacted(self) -> str:
        user = f"{quote(self.user, safe='')}:{_HIDDEN}@" if self.user else f"{_HIDDEN}@" if self.token else ""
        given = {
            "subject": "" if self.subject == SUBJECT else self.subject,
            "creds": self.creds,
            "ca": self.ca,
            "on-missing": "" if self.on_missing == "create" else self.on_missing,
            "insecure": "1" if self.insecure else "",
        }
        return _url("tls" if self.tls else "nats", user, self.servers, self.stream, given)


@dataclass(frozen=True, slots=True, repr=False)
class Kafka(Destination):
    """A topic of Kafka or whatever speaks its protocol, Azure Event Hubs among them.

    Attributes:
        servers: each `HOST:PORT`, IPv6 in brackets; to begin with.
        topic: its name.
        tls: whether TLS, always verified, guards the connection.
        sasl: how to log in; None: not at all.
        user, password: for it.
        ca: path of a PEM file with the authorities to trust in place of the system's; empty: the system's.
        options: more settings of librdkafka (`x.NAME=VALUE`), by name; none that the delivery rests on.
        insecure: clear text to another host was allowed.
        on_missing: what to do where the topic is not there.
        event_hubs: it is Azure's: *password* is the connection string as it was given.
        key_name: of Event Hubs, for people.
    """

    servers: tuple[str, ...]
    topic: str
    tls: bool = False
    sasl: Sasl | None = None
    user: str = ""
    password: str = ""
    ca: str = ""
    options: tuple[tuple[str, str], ...] = ()
    insecure: bool = False
    on_missing: OnMissing = "create"
    event_hubs: bool = False
    key_name: str = ""

    @property
    def redacted(self) -> str:
        if self.event_hubs:
            host = self.servers[0].removesuffix(f":{_EVENT_HUBS_PORT}")
            values = (f"sb://{host}/", self.key_name, _HIDDEN, self.topic)
            parts = [f"{name}={value}" for name, value in zip(_EVENT_HUBS_PARTS, values, strict=True)]
            return ";".join([*parts, *([f"{_CA_PART}={self.ca}"] if self.ca else [])])
        user = f"{quote(self.user, safe='')}:{_HIDDEN}@" if self.user else ""
        given = {
            "sasl": self.sasl or "",
            "ca": self.ca,
            "on-missing": "" if self.on_missing == "create" else self.on_missing,
            "insecure": "1" if self.insecure else "",
            **{f"x.{name}": _HIDDEN if _SECRET.search(name) else value for name, value in self.options},
        }
        return _url("kafka+ssl" if self.tls else "kafka", user, self.servers, self.topic, given)


# -- reading -------------------------------------------------------------------------------------------------


def _parsed(text: str) -> Destination:
    if len(text) > MAX_TEXT:
        refuse(f"longer than {MAX_TEXT} characters")
    if any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) <= 0xDFFF for c in text):
        refuse("more than one line, or control characters", "give it as one line of UTF-8 text")
    if not text:
        return LogFile()
    if text == "-":
        return Stdout()
    if text.startswith("sqlite:"):
        path = text.removeprefix("sqlite:")
        return LogFile(path) if path else refuse("sqlite: no path behind it", "write sqlite:PATH")
    match = _SCHEME.match(text)
    if match is None:
        return _event_hubs(text)
    scheme = match[1].lower()
    if scheme not in _SCHEMES:
        refuse("what stands before :// is no engine", nearest(scheme, _SCHEMES, "://") or f"one of {_FORMS}")
    return _engine(scheme, text[match.end() :])


def _engine(scheme: str, rest: str) -> Nats | Kafka:
    """The destination that stands behind `SCHEME://`."""
    url = cut(rest)
    tls = scheme in ("tls", "kafka+ssl")
    servers = [server(each, place, _SCHEMES[scheme]) for place, each in enumerate(url.servers, 1)]
    destination = _nats if scheme in ("nats", "tls") else _kafka
    found = destination(url, tuple(each.text for each in servers), tls)
    secure = "tls" if isinstance(found, Nats) else "kafka+ssl"
    if tls and found.insecure:
        mend = "leave it out, or name the authorities to trust with ca="
        refuse("insecure: is for clear text; TLS is always verified", mend)
    if not tls and found.ca:
        refuse("ca: is for TLS", f"write {secure}:// in front")
    for place, each in enumerate(servers, 1):
        if not (tls or each.loopback or found.insecure):
            mend = f"use {secure}://, or insecure=1 where that is meant"
            refuse(f"server {place}: everything would travel to another host in clear text", mend)
    return found


def _nats(url: Url, servers: tuple[str, ...], tls: bool) -> Nats:
    given = Parameters(url.query, ("subject", "creds", "ca", "on-missing", "insecure"))
    if not _STREAM.fullmatch(url.name):
        what = "is no name of one" if url.name else "is missing"
        mend = "write it behind the server: letters, digits, _ and -, as in nats://HOST/SPEED"
        refuse(f"stream: {what}", mend)
    user, password = url.login or ("", None)
    creds = given.text("creds")
    if creds and user:
        refuse("creds: a user or token is given, too", "leave one of them out")
    subject = given.text("subject") or SUBJECT
    if len(subject) > 255 or not all(map(_TOKEN.fullmatch, subject.split("."))):
        mend = f"write words with dots between, {{customer}} and {{channel}} among them, such as {SUBJECT}"
        refuse("subject: is none to send to", mend)
    return Nats(
        servers,
        url.name,
        subject,
        tls,
        user="" if password is None else user,
        password=password or "",
        token=user if password is None else "",  # as NATS's own clients read it
        creds=creds,
        ca=given.text("ca"),
        insecure=given.flag("insecure"),
        on_missing=given.one_of("on-missing", _ON_MISSING) or "create",
    )


def _kafka(url: Url, servers: tuple[str, ...], tls: bool) -> Kafka:
    given = Parameters(url.query, ("sasl", "ca", "on-missing", "insecure"), options=True)
    if not _TOPIC.fullmatch(url.name):
        what = "is no name of one" if url.name else "is missing"
        mend = "write it behind the server: letters, digits, . _ and -, as in kafka://HOST/speed"
        refuse(f"topic: {what}", mend)
    sasl = given.one_of("sasl", _SASL)
    user, password = url.login or ("", None)
    if user and not sasl:
        refuse("sasl: is missing, where a user is given", f"add sasl= and one of {', '.join(_SASL)}")
    if sasl and not (user and password):
        mend = "write USER:PASSWORD@ before the server"
        refuse("user and password: are missing, where sasl is given", mend)
    return Kafka(
        servers,
        url.name,
        tls,
        sasl=sasl,
        user=user,
        password=password or "",
        ca=given.text("ca"),
        options=tuple(given.options.items()),
        insecure=given.flag("insecure"),
        on_missing=given.one_of("on-missing", _ON_MISSING) or "create",
    )


def _event_hubs(text: str) -> Kafka:
    """Azure's string, which is its password as well; a part `Ca=PATH` is ours and no part of that."""
    known = {name.lower(): name for name in (*_EVENT_HUBS_PARTS, _CA_PART)}
    found: dict[str, str] = {}
    theirs = []
    for place, part in enumerate(text.split(";"), 1):
        name, equals, value = part.partition("=")
        name = known.get(name.strip().lower(), "") if equals else ""
        if not part.strip():
            theirs.append(part)
            continue
        if not name:
            near = nearest(part.partition("=")[0].strip().lower(), known, "=", known)
            if place == 1 and not near:
                mend = f"one of {_FORMS}, or Endpoint=sb://HOST/;... of Event Hubs"
                refuse("is no connection string", mend)
            what = "no such part" if equals else "no NAME=VALUE"
            parts = f"the parts are {', '.join(_EVENT_HUBS_PARTS)}"
            refuse(f"part {place} of those between ';': {what}", near or parts)
        if name in found:
            refuse(f"{name}: is there twice")
        if re.fullmatch(r"(sb://)?<.*>/?", value.strip()):
            refuse(f"{name}: is still a placeholder in < >", "put your own value there")
        found[name] = value.strip()
        if name != _CA_PART:
            theirs.append(part)
    for name in _EVENT_HUBS_PARTS:
        if not found.get(name):
            append = "append ;EntityPath= and the name of the event hub"
            mend = append if name == "EntityPath" else "copy the string from Azure"
            refuse(f"{name}: is {'empty' if name in found else 'missing'}", mend)
    if not re.fullmatch(r"[!-~]+", found["SharedAccessKey"]):
        refuse("SharedAccessKey: has characters that no key has", "copy the string from Azure")
    if not _TOPIC.fullmatch(found["EntityPath"]):
        refuse("EntityPath: is no name of an event hub")
    address = re.fullmatch(r"(?i:sb)://([^/?#@]*)/*", found["Endpoint"])
    if address is None:
        refuse("Endpoint: is no sb://HOST/", "copy the string from Azure")
    return Kafka(
        (server(address[1], 0, _EVENT_HUBS_PORT, part="Endpoint").text,),
        found["EntityPath"],
        tls=True,
        sasl="PLAIN",
        user=EVENT_HUBS_USER,
        password=";".join(theirs),
        ca=found.get(_CA_PART, ""),
        on_missing="fail",
        event_hubs=True,
        key_name=found["SharedAccessKeyName"],
    )


# -- writing -------------------------------------------------------------------------------------------------


def _url(scheme: str, user: str, servers: tuple[str, ...], name: str, given: Mapping[str, str]) -> str:
    query = "&".join(f"{key}={_escaped(value)}" for key, value in given.items() if value)
    return f"{scheme}://{user}{','.join(servers)}/{name}{'?' if query else ''}{query}"


def _escaped(text: str) -> str:
    return quote(text, safe="/{}$*:,=+-._~")


def _tokens(name: str) -> str:
    return re.sub(r"^\.|\.(?=\.|$)", "%2E", name)
