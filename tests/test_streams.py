"""Bytes from a descriptor as they come, and the container that they are."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading

import fastavro
import pytest
from by_hand import NOON, RIG_TEXT, encoded

from speeddata.errors import DataError, HostError, Interrupted
from speeddata.interrupts import Stop
from speeddata.streams import ContainerStream, file_pieces, pieces

ROWS = [{"time": NOON + n, "volts": n / 8, "note": "x" * (n % 7)} for n in range(50)]
DATUMS = b"".join(encoded(RIG_TEXT, row) for row in ROWS)


def container(**how: object) -> bytes:
    stream = io.BytesIO()
    fastavro.writer(stream, json.loads(RIG_TEXT), ROWS, sync_interval=200, **how)
    return stream.getvalue()


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_a_container_in_any_cut_gives_its_datums(step, codec):
    data = container(codec=codec, metadata={"speeddata.channel": "cell"})
    stream = ContainerStream((data[at : at + step] for at in range(0, len(data), step)), where="here")
    assert (stream.channel, stream.schema.name) == ("cell", "rig")
    assert b"".join(batch.data for batch in stream) == DATUMS
    assert stream.damaged_bytes == 0


def test_the_header_is_enough_to_know_the_channel():
    def source():
        yield container()[:900]
        raise AssertionError("asked for more than the header")

    assert ContainerStream(source(), where="here").channel == "rig"


@pytest.mark.parametrize("data", [b"", b"Obj\x01\x02", container()[:40]])
def test_what_ends_before_its_header_does_is_no_container(data):
    with pytest.raises(DataError, match="here: ended before an Avro container's header was whole"):
        ContainerStream([data] if data else [], where="here")


def test_a_container_that_is_still_waited_for_when_asked_to_stop_is_no_bad_one():
    stop = Stop()
    stop.ask(143)
    with pytest.raises(Interrupted) as told:
        ContainerStream([b"Obj\x01\x02"], where="here", stop=stop)
    assert told.value.status == 143


def test_a_torn_end_is_noted_unless_it_was_asked_to_stop(caplog):
    caplog.set_level(logging.WARNING, "speeddata")
    logging.getLogger("speeddata").propagate = True
    stop = Stop()
    for asked in (False, True):
        if asked:
            stop.ask()
        caplog.clear()
        stream = ContainerStream([container()[:-3]], where="here", stop=stop)
        data = b"".join(batch.data for batch in stream)
        assert DATUMS.startswith(data)
        assert data
        assert bool(caplog.messages) is not asked
    assert stream.damaged_bytes == 0


def test_damage_is_told_as_soon_as_it_is_passed(caplog):
    caplog.set_level(logging.WARNING, "speeddata")
    logging.getLogger("speeddata").propagate = True
    data = bytearray(container())
    sync = bytes(data[-16:])
    second = data.index(sync, data.index(sync) + 16)
    data[second : second + 16] = bytes(16)
    told = []

    def source():
        for at in range(0, len(data), 100):
            told.append(len(caplog.messages))
            yield bytes(data[at : at + 100])

    stream = ContainerStream(source(), where="here")
    for _ in stream:
        pass
    assert stream.damaged_bytes > 0
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("here: ")
    assert told[-1] == 1


def test_a_pipe_is_read_as_it_comes_until_its_end():
    near, far = os.pipe()
    with os.fdopen(near, "rb"), os.fdopen(far, "wb", buffering=0) as writing:
        read = pieces(near, Stop(), where="here")
        writing.write(b"one")
        assert next(read) == b"one"
        writing.write(b"two")
        assert next(read) == b"two"
        writing.close()
        assert next(read, None) is None


def test_a_silent_pipe_is_left_when_asked_to_stop():
    near, far = os.pipe()
    with os.fdopen(near, "rb"), os.fdopen(far, "wb"):
        stop = Stop()
        read: list[bytes] = []
        reader = threading.Thread(target=lambda: read.extend(pieces(near, stop, where="here")))
        reader.start()
        stop.ask()
        reader.join(10)
        assert not reader.is_alive()
        assert read == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a named pipe is waited for in open()")
def test_a_named_pipe_that_nobody_writes_yet_is_waited_for_until_asked_to_stop(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for wanted in ([], [b"a datum"]):
        stop = Stop()
        read: list[bytes] = []
        reader = threading.Thread(
            target=lambda: read.extend(file_pieces(str(tmp_path / "pipe"), stop)),  # noqa: B023
            daemon=True,
        )
        reader.start()
        if wanted:
            (tmp_path / "pipe").write_bytes(b"a datum")  # returns once somebody reads; then it ends
        else:
            stop.ask()
        reader.join(10)
        assert not reader.is_alive()
        assert read == wanted


def test_what_cannot_be_read_is_named(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(HostError, match=f"{path}: cannot read: "):
            list(file_pieces(str(path), Stop()))


def test_containers_of_one_channel_one_after_the_other_are_one_stream():
    stream = ContainerStream([container() + container(codec="deflate")], where="here")
    assert b"".join(batch.data for batch in stream) == 2 * DATUMS
    assert stream.damaged_bytes == 0


def test_a_container_of_another_channel_behind_the_first_is_refused():
    both = [container(), container(metadata={"speeddata.channel": "cell"})]
    stream = ContainerStream(both, where="standard input")
    with pytest.raises(DataError) as told:
        list(stream)
    assert str(told.value).startswith("standard input: two channels: rig, and from byte ")
    assert str(told.value).endswith(" on cell; name the files instead")
