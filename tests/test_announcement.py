"""Announcements: a header datagram and nothing else; whatever is not one is a datum."""

from __future__ import annotations

import io

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speeddata.avro.container import write_header
from speeddata.errors import DataError
from speeddata.names import Endpoint
from speeddata.wire import announcement
from speeddata.wire.announcement import ROLE_QUERY, ROLE_RELAY, ROLE_SOURCE, Announcement

SYNC = bytes(range(16))
SCHEMA = '{"type":"record","name":"r","fields":[{"name":"time","type":"long"}]}'
KEYS = {"avro.schema": SCHEMA, "speeddata.channel": "rig", "speeddata.session": "5f"}
SOURCE = Announcement(ROLE_SOURCE, "rig", "5f", SCHEMA, {"sent": "12", "state": "live"})


def test_a_datagram_written_out_by_hand_is_read():
    datagram = (
        b'Obj\x01\x0a\x16avro.schema\x0c"null"\x14avro.codec\x08null\x22speeddata.channel\x06rig'
        b"\x22speeddata.session\x045f\x1cspeeddata.role\x0csource\x00" + SYNC
    )
    assert announcement.parse(datagram) == Announcement("source", "rig", "5f", '"null"', {})
    assert announcement.parse(memoryview(datagram)) == announcement.parse(datagram)


def test_what_is_said_is_heard():
    assert announcement.parse(announcement.encode(SOURCE)) == SOURCE
    everyone = Announcement(ROLE_QUERY, "*", announcement.new_session(), '"null"')
    assert announcement.parse(announcement.encode(everyone)) == everyone


def test_fastavro_reads_an_announcement_as_a_container_without_records():
    reader = fastavro.reader(io.BytesIO(announcement.encode(SOURCE)))
    assert reader.metadata["speeddata.sent"] == "12"
    assert reader.codec == "null"
    assert list(reader) == []


def test_unknown_keys_are_kept_or_ignored():
    heard = announcement.parse(write_header({**KEYS, "speeddata.new": "x", "vendor.key": "y"}, SYNC))
    assert heard == Announcement("", "rig", "5f", SCHEMA, {"new": "x"})


@pytest.mark.parametrize("missing", KEYS)
def test_without_schema_channel_and_session_it_is_a_datum(missing):
    assert announcement.parse(write_header(KEYS, SYNC)) is not None
    assert announcement.parse(write_header({k: v for k, v in KEYS.items() if k != missing}, SYNC)) is None


def test_it_must_end_with_its_last_byte():
    datagram = write_header(KEYS, SYNC)
    assert announcement.parse(datagram + b"\x00") is None
    assert all(announcement.parse(datagram[:size]) is None for size in range(len(datagram)))


@pytest.mark.parametrize(
    "hostile",
    [
        {"speeddata.channel": "../../etc/x"},
        {"speeddata.channel": "a\x1b[2J"},
        {"speeddata.channel": "x" * 300},
        {"speeddata.channel": "*"},
        {"speeddata.channel": "*", "speeddata.role": "relay"},
        {"speeddata.channel": b"\xff\xfe"},
        {"speeddata.channel": ""},
        {"speeddata.session": ""},
        {"speeddata.session": "a b"},
        {"speeddata.session": "a\n"},
        {"speeddata.session": "s" * 65},
        {"speeddata.session": "é"},
        {"speeddata.note": b"\xff"},
        {"avro.schema": b"\xff"},
        {"speeddata.note": "n" * 61440},
    ],
)
def test_hostile_names_and_bytes_announce_nothing(hostile):
    assert announcement.parse(write_header({**KEYS, **hostile}, SYNC)) is None


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_random_datagrams_are_datums(data):
    assert announcement.parse(data) is None
    assert announcement.parse(b"Obj\x01" + data) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("12", 12),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, -7),  # a loss of so many datums would fit no file
        ("9" * 20000, -7),
        ("", -7),
        ("-1", -7),
        ("1_0", -7),
        ("٣", -7),
        ("1.5", -7),
    ],
)
def test_a_number_is_decimal_text_or_the_default(text, number):
    assert Announcement(ROLE_RELAY, "rig", "5f", "", {"lost": text}).number("lost", -7) == number


def test_an_endpoint_is_an_address_and_a_port_or_nothing():
    heard = Announcement(ROLE_RELAY, "rig", "5f", "", {"full": "239.1.1.1:6000", "decimated": "6000"})
    assert heard.endpoint("full") == Endpoint("239.1.1.1", 6000)
    assert heard.endpoint("decimated") is None
    assert heard.endpoint("absent") is None


def test_what_would_not_be_heard_is_not_said():
    with pytest.raises(DataError, match="the most is 61,440"):
        announcement.encode(Announcement(ROLE_SOURCE, "rig", "5f", "x" * 61440))
    with pytest.raises(DataError, match="not allowed"):
        announcement.encode(Announcement(ROLE_SOURCE, "../x", "5f", SCHEMA))
    with pytest.raises(DataError, match="not allowed"):
        announcement.encode(Announcement(ROLE_SOURCE, "rig", "", SCHEMA))


def test_sessions_differ_and_are_allowed():
    first, second = announcement.new_session(), announcement.new_session()
    assert first != second
    assert len(first) == 32
    assert (
        announcement.parse(announcement.encode(Announcement(ROLE_SOURCE, "rig", first, SCHEMA))).session
        == first
    )
