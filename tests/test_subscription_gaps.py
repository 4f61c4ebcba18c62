"""What a customer never gets: found, told once, and everything else goes on."""

from __future__ import annotations

import logging
import shutil

import pytest
from subscription_serving import MS, NOON, Customer, Source

from speeddata import feeding
from speeddata.recording.reading import Reader
from speeddata.subscription import forwarding, reconnecting, subscribed


@pytest.fixture
def plant(tmp_path):
    made = Customer(tmp_path)
    yield made
    made.close()


@pytest.fixture
def rig(plant):
    made = Source(plant.directory)
    yield made
    made.end()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(reconnecting, "_FIRST_S", 0.01)
    monkeypatch.setattr(reconnecting, "_LONGEST_S", 0.05)
    monkeypatch.setattr(reconnecting, "_LOOK_S", 0.05)
    monkeypatch.setattr(subscribed, "_LOOK_S", 0.0)
    monkeypatch.setattr(forwarding, "_IDLE_S", 0.05)


def counting(count):
    return [float(n) for n in range(count)]


def test_what_retention_took_before_it_was_sent_is_a_gap_and_told_once(plant, rig, caplog):
    rig.begin()
    rig.blocks(2)
    plant.add("rig/*")
    plant.once()
    first = rig.files[-1].path
    rig.block()
    rig.begin()
    rig.block()
    first.unlink()
    with caplog.at_level(logging.WARNING, "speeddata"):
        assert plant.once().gaps == 1
    assert "channel rig lacks it" in caplog.text
    (gap,) = plant.gaps
    assert (gap.from_ns, gap.to_ns) == (NOON + 19 * MS, NOON + 30 * MS)
    assert plant.got() == [*counting(20), *counting(40)[30:]]
    assert plant.once().gaps == 0


def test_a_gap_with_nothing_behind_it_is_told_once_too(plant, rig):
    path = rig.begin()
    rig.block()
    plant.add("rig/*")
    plant.once()
    rig.block()
    rig.end()
    other = Source(plant.directory, "pump")
    other.begin()
    other.end()
    path.unlink()
    plant.once()
    shutil.rmtree(plant.directory / "rig")
    assert plant.once().gaps == 0
    rig.begin()
    rig.block()
    sent = plant.once()
    assert plant.got() == [*counting(10), *counting(30)[20:]]
    assert len(plant.gaps) == 1, sent


def test_what_was_all_sent_may_go_without_a_word(plant, rig):
    path = rig.begin()
    rig.blocks(3)
    plant.add("rig/*")
    plant.once()
    rig.end()  # only now nobody writes it
    plant.once()
    path.unlink()
    rig.begin()
    rig.block()
    assert plant.once().gaps == 0
    assert plant.got() == counting(40)


def test_a_run_remembers_of_closed_files_that_all_of_them_was_sent(plant, rig, wait_for, monkeypatch):
    monkeypatch.setattr(forwarding, "_SETTLE_S", 0.0)
    path = rig.begin()
    rig.block()
    plant.add("rig/*")
    with plant.running():
        wait_for(lambda: plant.got() == counting(10))
        assert plant.place().size is None
        rig.end()
        wait_for(lambda: plant.place().size == path.stat().st_size)


@pytest.mark.parametrize("sent_all", [False, True])
def test_what_went_while_nothing_else_was_there_is_told_when_there_is(plant, rig, wait_for, sent_all):
    path = rig.begin()
    rig.block()
    plant.add("rig/*")
    plant.once()
    if not sent_all:
        rig.block()
    rig.end()
    if sent_all:
        plant.once()
    path.unlink()
    with plant.running() as run:
        wait_for(lambda: plant.registry.customer("plant").state == "waiting")
        assert not plant.gaps
        rig.begin()
        rig.block()
        wait_for(lambda: plant.got()[-1] == rig.next - 1)
        assert run.end().gaps == (not sent_all)
    assert len(plant.gaps) == (not sent_all)


def test_files_that_come_and_go_during_an_outage_are_a_gap(plant, rig, wait_for, monkeypatch):
    monkeypatch.setattr(feeding, "_AHEAD_BYTES", 2000)
    monkeypatch.setattr(feeding, "_LOOK_S", 0.02)
    looks, look = [], Reader.look
    monkeypatch.setattr(Reader, "look", lambda reader: (look(reader), looks.append(1)))
    rig.begin()
    rig.block()
    plant.add("rig/*")
    with plant.running() as run:
        wait_for(lambda: plant.got() == counting(10))
        plant.door.shut = True
        rig.blocks(20)
        wait_for(lambda: plant.registry.customer("plant").state == "unreachable")
        gone = []
        for _ in range(3):
            gone.append(rig.begin())
            rig.block()
        before = len(looks)
        wait_for(lambda: len(looks) > before + 1)  # it is not quicker than that
        for path in gone:
            path.unlink()
        rig.begin()
        rig.block()
        plant.door.shut = False
        wait_for(lambda: plant.got()[-1] == 249.0)
        sent = run.end()
    assert plant.got() == [*counting(210), *counting(250)[240:]]
    assert sent.gaps == 1
    (gap,) = plant.gaps
    assert (gap.from_ns, gap.to_ns) == (NOON + 209 * MS, NOON + 240 * MS)


def test_a_file_is_known_under_another_name(plant, rig):
    path = rig.begin()
    rig.blocks(3)
    plant.add("rig/*")
    plant.once()
    rig.block()
    rig.end()
    path.rename(path.with_name("older.avro"))
    assert plant.once().gaps == 0
    assert plant.got() == counting(40)


def test_a_message_that_is_never_taken_is_left_out_and_told(plant, rig):
    rig.begin()
    rig.block(3)
    rig.block(30)
    rig.block(3)
    plant.add("rig/*")
    plant.door.most = 500
    sent = plant.once()
    assert (sent.too_large, sent.messages, sent.gaps) == (1, 2, 1)
    assert plant.got() == [*counting(3), *counting(36)[33:]]
    (gap,) = plant.gaps
    assert "too large for the door" in gap.what
    assert plant.once().messages == 0


def test_damaged_blocks_are_passed_over_and_counted(plant, rig):
    path = rig.begin()
    rig.blocks(3)
    rig.end()
    data = bytearray(path.read_bytes())
    at = data.rindex(data[-16:], 0, len(data) - 16)  # the marker before the last block
    data[at + 16 : at + 18] = b"\xff\xff"
    path.write_bytes(data)
    plant.add("rig/*")
    sent = plant.once()
    assert plant.got() == counting(20)
    assert sent.damaged_bytes > 0
    assert plant.once().messages == 0


def test_a_channel_without_a_time_is_told_once(plant, rig, caplog):
    number = {"name": "time", "type": "long"}
    for _ in range(3):
        rig.begin(time=number)
        rig.blocks(2)
    plant.add("rig/*")
    with caplog.at_level(logging.WARNING, "speeddata"):
        assert plant.once().messages == 0
    assert caplog.text.count("rig/time: is the abscissa") == 1
    assert plant.once(time_unit="ns", begin_ns=0).messages == 6


def test_samples_that_share_a_written_time_are_told_once(plant, rig, caplog):
    rig.begin()
    rig.block()
    rig.next = 5
    rig.block(5)
    rig.next -= 1
    rig.block(5)
    plant.add("rig/*")
    with caplog.at_level(logging.WARNING, "speeddata"):
        sent = plant.once()
    assert sent.crowded == {"rig": 1}
    assert caplog.text.count("--time-precision us") == 1
