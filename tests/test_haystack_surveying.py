"""What is known of SOURCEs before they are read: channels, their schemas, and which are fast."""

from __future__ import annotations

import threading

import pytest
from by_hand import LOOPBACK, RIG_TEXT, Bench, Source, rig, unused_port
from hxpush_by_hand import NOON, TIME, VOLTS, S, record

from speeddata.avro import schema as schemas
from speeddata.errors import DataError, HostError, PeerError
from speeddata.haystack import surveying
from speeddata.haystack.surveying import survey
from speeddata.interrupts import Stop
from speeddata.sources import Wanted


def look(*names, **wanted):
    return survey([str(name) for name in names], Wanted(on=[LOOPBACK], **wanted), Stop())


def rows(count, every_ns):
    return [{"time": NOON + number * every_ns, "volts": 0.0} for number in range(count)]


def test_every_schema_of_a_channel_is_known_in_the_order_of_use(tmp_path):
    record(tmp_path, "rig", [TIME, VOLTS], rows(2, S))
    amps = {"name": "amps", "type": "double"}
    record(tmp_path, "rig", [TIME, VOLTS, amps], [{**rows(1, S)[0], "amps": 1.0}], NOON + S)
    record(tmp_path, "pump", [TIME, VOLTS], rows(2, S))
    found = look(f"{tmp_path}/")
    assert {name: len(paths) for name, paths in found.files.items()} == {"rig": 2, "pump": 1}
    assert [[signal.name for signal in each.signals] for each in found.schemas["rig"]] == [
        ["time", "volts"],
        ["time", "volts", "amps"],
    ]


@pytest.mark.parametrize(
    ("count", "every_ns", "fast"),
    [(100, S // 10, True), (100, S, False), (100, 60 * S, False), (2, S // 2, True), (1, S, False)],
)
def test_a_channel_is_fast_where_it_has_several_samples_in_a_second(tmp_path, count, every_ns, fast):
    record(tmp_path, "rig", [TIME, VOLTS], rows(count, every_ns))
    assert look(f"{tmp_path}/").sub_second == ({"rig"} if fast else set())


def test_a_source_of_one_a_second_that_is_not_quite_exact_is_not_fast(tmp_path):
    record(tmp_path, "rig", [TIME, VOLTS], rows(100, S - S // 100))
    assert look(f"{tmp_path}/").sub_second == set()


def test_several_samples_of_one_time_are_fast(tmp_path):
    record(tmp_path, "rig", [TIME, VOLTS], rows(3, 0))
    assert look(f"{tmp_path}/").sub_second == {"rig"}


def test_what_has_no_time_is_not_fast(tmp_path):
    record(tmp_path, "rig", [{"name": "angle", "type": "double"}, VOLTS], [{"angle": 0.1, "volts": 1.0}] * 9)
    assert look(f"{tmp_path}/").sub_second == set()


def test_the_newest_of_two_recordings_may_be_slow_while_the_one_before_was_fast(tmp_path):
    record(tmp_path, "rig", [TIME, VOLTS], rows(100, S // 10))
    record(tmp_path, "rig", [TIME, VOLTS], rows(1, S), NOON + 100 * S)
    assert look(f"{tmp_path}/").sub_second == {"rig"}


def test_a_directory_without_a_recording_is_an_error_unless_more_is_awaited(tmp_path):
    with pytest.raises(DataError, match="holds no recording"):
        look(f"{tmp_path}/")
    assert look(f"{tmp_path}/", follow=True).schemas == {}
    with pytest.raises(HostError):
        look(f"{tmp_path}/nope/")


def test_a_live_channel_is_known_by_its_announcement(spawn, free_port, wait_for, channel_name):
    with Bench(spawn, free_port, wait_for) as bench:
        relay = bench.relay("--no-record")
        source: Source = bench.source(channel_name, relay.port)
        source.announce()
        bench.discovery.received(channel_name, 0)
        found = look(channel_name)
    assert [each.text for each in found.schemas[channel_name]] == [schemas.parse(RIG_TEXT).text]
    assert found.files == {}


def test_what_comes_straight_to_an_endpoint_is_known_by_what_its_source_says():
    port = unused_port()
    source, over = Source("rig2", port), threading.Event()

    def speak() -> None:
        while not over.wait(0.05):
            source.announce()
            source.send(rig([1]))

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        assert look(f"127.0.0.1:{port}").schemas == {"rig2": [schemas.parse(RIG_TEXT)]}
    finally:
        over.set()
        speaker.join()
    unheard = survey([f"127.0.0.1:{port}"], Wanted(on=[LOOPBACK]), Stop(), listen=False)
    assert unheard.schemas == {}


def test_an_endpoint_at_which_nothing_arrives_is_told(monkeypatch):
    monkeypatch.setattr(surveying, "FIND_S", 0.05)
    with pytest.raises(PeerError, match="nothing came that says its schema"):
        look(f"127.0.0.1:{unused_port()}")


def test_a_schema_that_is_given_needs_no_announcement():
    given = schemas.parse(RIG_TEXT)
    found = look("127.0.0.1:9", schema=given)
    assert list(found.schemas.values()) == [[given]]
