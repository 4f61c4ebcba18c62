"""An announcement says who speaks at an address: a container header with no block, sent as one datagram.

Section 4 of the formats. Any Avro library reads one; every datagram that is none is a datum.
"""

from __future__ import annotations

import os
import re
import uuid
from dataclasses import dataclass, field

from speeddata.avro.container import MAGIC as MAGIC
from speeddata.avro.container import SYNC_SIZE, read_header, write_header
from speeddata.errors import DataError, UsageError
from speeddata.names import DISCOVERY, Endpoint, is_channel_name

ROLE_SOURCE, ROLE_RELAY, ROLE_QUERY = "source", "relay", "query"
LIVE, END = "live", "end"  # values of the key `state`
ANY_CHANNEL = "*"  # what a query names that asks for all
SIZE_LIMIT = 60 << 10

_PREFIX = "speeddata."
_OWN_KEYS = ("channel", "session", "role")
_SESSION = re.compile(r"[!-~]{1,64}")
_DECIMAL = re.compile(r"[0-9]{1,18}")  # what fits 64 bits, some times over
_SYNC = os.urandom(SYNC_SIZE)


@dataclass(frozen=True)
class Announcement:
    """What a source, a relay or a question says of itself.

    Attributes:
        role: ROLE_SOURCE, ROLE_RELAY or ROLE_QUERY; of a newer version perhaps another word.
        channel: the channel's name; in a query also ANY_CHANNEL.
        session: one run of one source: 1 to 64 printable ASCII characters, no space.
        schema_text: the writer's schema, not looked at yet.
        fields: the other keys `speeddata.*`, without that prefix. Text from the network: show it escaped.
    """

    role: str
    channel: str
    session: str
    schema_text: str
    fields: dict[str, str] = field(default_factory=dict)

    def number(self, key: str, default: int = 0) -> int:
        """The field *key*, if it is decimal text of at most 18 digits; else *default*."""
        text = self.fields.get(key, "")
        return int(text) if _DECIMAL.fullmatch(text) else default

    def endpoint(self, key: str) -> Endpoint | None:
        """The field *key*, if it is ADDR:PORT; else None."""
        try:
            return Endpoint.parse(self.fields.get(key, ""))
        except UsageError:
            return None

    def group(self, key: str) -> Endpoint | None:
        """The field *key*, if it is a group that can be joined to receive datums; else None.

        Whoever asks others to take a port of their own, or to listen among announcements, means no good.
        """
        endpoint = self.endpoint(key)
        if endpoint is None or not endpoint.is_group or ":" in endpoint.host or endpoint == DISCOVERY:
            return None
        return endpoint


def new_session() -> str:
    """A name for one run of one source: 32 random hexadecimal digits."""
    return uuid.uuid4().hex


def encode(announcement: Announcement) -> bytes:
    """The datagram that says *announcement*.

    Raises:
        DataError: it would be larger than 60 KiB, or `parse` would not take it for an announcement.
    """
    said = announcement
    metadata = {
        "avro.schema": said.schema_text,
        "avro.codec": "null",
        "speeddata.channel": said.channel,
        "speeddata.session": said.session,
        "speeddata.role": said.role,
    }
    metadata |= {_PREFIX + key: value for key, value in said.fields.items() if key not in _OWN_KEYS}
    datagram = write_header(metadata, _SYNC)
    if len(datagram) > SIZE_LIMIT:
        raise DataError(
            f"an announcement of {len(datagram):,} bytes; the most is {SIZE_LIMIT:,}",
            where=said.channel[:64],
            mend="shorten the schema: its `doc` texts, or the number of signals",
        )
    if not _names_hold(said.role, said.channel, said.session):
        raise DataError("the channel's or the session's name is not allowed", where=said.channel[:64])
    return datagram


def parse(datagram: bytes | memoryview) -> Announcement | None:
    """What *datagram* announces; None = it is a datum, whatever it looks like.

    An announcement is a container header from its first byte to its last, within 60 KiB, with a schema and
    the names of a channel and a session. The schema is not parsed, and the other fields are not checked.
    """
    if datagram[: len(MAGIC)] != MAGIC or len(datagram) > SIZE_LIMIT:
        return None
    try:
        header = read_header(datagram)
        if header is None or header.size != len(datagram):
            return None
        metadata = {key: value.decode() for key, value in header.metadata.items()}
        schema_text = metadata["avro.schema"]
        channel, session = metadata["speeddata.channel"], metadata["speeddata.session"]
    except (DataError, UnicodeDecodeError, KeyError):
        return None
    role = metadata.get("speeddata.role", "")
    if not _names_hold(role, channel, session):
        return None
    ours = {key.removeprefix(_PREFIX): value for key, value in metadata.items() if key.startswith(_PREFIX)}
    fields = {key: value for key, value in ours.items() if key not in _OWN_KEYS}
    return Announcement(role, channel, session, schema_text, fields)


def _names_hold(role: str, channel: str, session: str) -> bool:
    named = is_channel_name(channel) or (role == ROLE_QUERY and channel == ANY_CHANNEL)
    return named and _SESSION.fullmatch(session) is not None
