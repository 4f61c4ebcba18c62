"""Fuzz targets for what comes over the network: announcements, datagrams, servers, messages."""

from __future__ import annotations

import json
import os

import numpy as np
from workbench import one_line

from speeddata.errors import DataError, UsageError
from speeddata.haystack import authentication, zinc
from speeddata.names import Endpoint
from speeddata.subscription import presenting
from speeddata.subscription.dedup import Dedup
from speeddata.subscription.engine import Received
from speeddata.subscription.engine_text import TextInlet
from speeddata.wire import announcement
from speeddata.wire.announcement import Announcement
from speeddata.wire.linux_datagrams import boundaries
from speeddata.wire.sessions import Roster, split

_ADDRESSES = [("127.0.0.1", 1), ("127.0.0.1", 2), ("::1", 3)]


def announcements(data: bytes) -> None:
    """A datagram is an announcement or a datum, never an error; what is heard can be said and heard again."""
    said = announcement.parse(data)
    assert announcement.parse(memoryview(data)) == said
    if said is not None:
        _said_again(said)
    cuts = sorted({0, len(data), *(at for at in range(0, len(data), 16) if data[at] % 5 == 0)})
    roster, seen, now_ns = Roster(channel_limit=2), b"", 0
    for number, piece in enumerate(split(data, np.array(cuts, np.int64))):
        address = _ADDRESSES[number % 3]
        if isinstance(piece, Announcement):
            roster.announce(piece, address, now_ns)
        else:
            assert piece[1][[0, -1]].tolist() == [0, len(piece[0])]
            seen += piece[0]
            roster.hold(address, *piece, now_ns)
        now_ns += 10**9
    roster.expire(now_ns)
    assert len(roster.sessions()) <= 2
    assert all(0 <= each.lost < 2**63 for each in roster.sessions())
    assert len(seen) <= len(data)


def _said_again(said: Announcement) -> None:
    for key in said.fields:
        assert 0 <= said.number(key) < 2**63
        if (found := said.endpoint(key)) is not None:
            assert str(found).isprintable()
            assert Endpoint.parse(str(found)) == found
    try:
        assert announcement.parse(announcement.encode(said)) == said
    except DataError as exc:
        one_line(exc, f"{said.channel}: an announcement of ")


def trains(data: bytes) -> None:
    """A train is cut where the kernel says: all of its bytes, in datagrams of one size but the last.

    Bytes: for each train two of its length, two of the size of its datagrams, where 0 says it is none.
    """
    lengths, segments = [], []
    for at in range(0, len(data) - 3, 4):
        length = int.from_bytes(data[at : at + 2], "little")
        size = int.from_bytes(data[at + 2 : at + 4], "little")
        alone = size >= 0x8000 or not size or not length
        lengths.append(length)
        segments.append(length if alone else size)
    if not lengths:
        return
    expected = [0]
    for length, size in zip(lengths, segments, strict=True):
        first = expected[-1]
        expected += range(first + size, first + length, size) if size else []
        expected.append(first + length)
    assert boundaries(lengths, segments).tolist() == expected


def zinc_text(data: bytes) -> None:
    """What a server answers is a grid, or one line says where it is none; a grid can be written and read."""
    for coding in ("surrogatepass", "surrogateescape"):
        try:
            text = data.decode("utf-8", coding)
        except UnicodeDecodeError:
            continue
        for read in (zinc.read, zinc.read_all):
            try:
                found = read(text, where="fuzzed")
            except DataError as exc:
                one_line(exc, "fuzzed line ")
                continue
            for grid in found if isinstance(found, list) else [found]:
                try:
                    again = zinc.write(grid)
                except UsageError:
                    continue
                assert repr(zinc.read(again)) == repr(zinc.read(zinc.write(zinc.read(again))))
                assert len(zinc.read(again).rows) == len(grid.rows)


def challenges(data: bytes) -> None:
    """What a server says about logging in makes sense or is left out."""
    header = data.decode("latin-1")
    try:
        found = authentication.challenges(header)
    except ValueError:
        assert len(header) > 8000
        return
    assert all(each.scheme == each.scheme.lower() for each in found)


def messages(data: bytes) -> None:
    """Any message is a line, datapoints are lines of JSON; what was read before is left out, and no more."""
    body = data[1:]
    dedup = Dedup(10**18)
    received = Received("1", "id", "topic", "key", body, int.from_bytes(data[:1], signed=True) << 60)
    for form in ("message", "payload", "points"):
        lines = presenting.line(received, form)
        assert form != "points" or all(set(json.loads(each)) >= {"id"} for each in lines.splitlines())
        assert form == "points" or lines.count(b"\n") == 1
        assert form != "message" or json.loads(lines)["id"] == "id"
        text = presenting.shown(lines).decode()
        assert all(each.isprintable() or each in "\n\t" for each in text)
    items = presenting.items_of(body)
    look = dedup.look("a", items, 1)
    assert repr(look.items) == repr(items) or look.dropped
    dedup.done(look)
    again = dedup.look("b", items, 2)
    if again.dropped:
        presenting.with_items(body, again.items)
    dedup.done(again)
    restored = Dedup(10**18)
    restored.restore(json.loads(json.dumps(dedup.state())))
    assert restored.state() == dedup.state()


def lines_in(data: bytes) -> None:
    """Lines of standard input are messages, each once, whatever is in them."""
    reading, writing = os.pipe()
    try:
        os.write(writing, data[:60_000])
        os.close(writing)
        inlet = TextInlet(topic="t", fd=reading)
        found = []
        while not inlet.ended:
            found += inlet.fetch(3, 0.0)
    finally:
        os.close(reading)
    whole = [each.removesuffix(b"\r") for each in data[:60_000].split(b"\n")]
    assert [each.body for each in found] == [each for each in whole if each.strip()]
    assert [int(each.sequence) for each in found] == [n for n, each in enumerate(whole, 1) if each.strip()]
