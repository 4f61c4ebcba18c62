"""What is known of a customer, as values: its subscriptions, how far it has got, what it never got."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from speeddata.errors import UsageError
from speeddata.legible import printable

State = Literal["idle", "sending", "waiting", "unreachable", "denied", "failed"]

DEFAULT = "default"  # the customer where none is named

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Customer:
    """What is known of one.

    Attributes:
        name: its.
        destination: for people, without secrets; empty where none was set.
        rev: grows whenever what it subscribes to changes.
        state, state_ns: of its last run, and since when; a run that was killed left it as it was.
        error, error_ns: the last one, in one line, and when; they stay after it is mended.
        messages, datapoints, bytes: acknowledged so far.
    """

    name: str
    destination: str = ""
    rev: int = 0
    state: State = "idle"
    state_ns: int | None = None
    error: str = ""
    error_ns: int | None = None
    messages: int = 0
    datapoints: int = 0
    bytes: int = 0


class Subscription(NamedTuple):
    """What a customer wants.

    Attributes:
        pattern: `channel/signal`, a glob, or an id.
        rev: of the customer, that it came with.
        added_ns: when it came.
        since_ns: samples from that time on; None: all that are recorded.
        expires_ns: when it ends; None: never.
    """

    pattern: str
    rev: int
    added_ns: int
    since_ns: int | None = None
    expires_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """How far a customer has got in a channel of a recording.

    Attributes:
        channel: its name.
        file: name of the file where it goes on, without the directory.
        sync: its sync marker, by which it is known when it is renamed.
        block, datum: where it goes on, as in `catalogue.Position`.
        time_ns: of the newest datum that was sent, since 1970; None where none was.
        size: of the file in bytes when it was known to be sent to its end, and closed; None before.
    """

    channel: str
    file: str
    sync: bytes
    block: int
    datum: int = 0
    time_ns: int | None = None
    size: int | None = None


class Gap(NamedTuple):
    """What was recorded, and never sent.

    Attributes:
        directory: of the recording, absolute.
        channel: its.
        from_ns, to_ns: the newest datum before, and the first one behind it; None where not known.
        noticed_ns: when it was.
        what: in words.
    """

    directory: str
    channel: str
    from_ns: int | None
    to_ns: int | None
    noticed_ns: int
    what: str


def customer_name(text: str) -> str:
    """*text* itself, if it may name a customer, and so a file.

    Raises:
        UsageError: it may not; says what may.
    """
    if _NAME.fullmatch(text) is None:
        rule = "a letter, digit or _, then up to 63 letters, digits, _ . or -"
        raise UsageError(f"'{printable(text[:80])}' is no name of a customer", mend=f"use {rule}")
    return text
