"""From a recording to a customer: all of it, in order, once by its ids, whatever stops and starts between."""

from __future__ import annotations

import json
import shutil
import time

import pytest
from subscription_serving import MS, NOON, Customer, Source, read_by_fastavro

from speeddata.errors import HostError
from speeddata.interrupts import Stop
from speeddata.subscription import forwarding, reconnecting, subscribed
from speeddata.subscription.engine import Unreachable
from speeddata.subscription.series import series_id


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


# -- what is sent -------------------------------------------------------------------------------------------


def test_all_that_is_recorded_comes_in_order_and_the_second_run_sends_nothing_again(plant, rig):
    paths = [rig.begin()]
    rig.blocks(5)
    paths.append(rig.begin())
    rig.blocks(5)
    plant.add("rig/*")
    sent = plant.once()
    assert plant.got() == read_by_fastavro(paths) == counting(100)
    assert (sent.messages, sent.datapoints) == (10, 100)
    assert {key for _, key, _ in plant.rows()} == {"rig"}
    assert plant.once().messages == 0
    rig.blocks(2)
    assert plant.once().messages == 2
    assert plant.got() == counting(120)
    known = plant.registry.customer("plant")
    assert (known.messages, known.datapoints, known.state) == (12, 120, "idle")
    assert known.bytes == sum(len(body) for _, _, body in plant.rows())


def test_a_message_names_its_file_block_and_part_whatever_was_read_with_it(plant, rig, monkeypatch):
    rig.begin()
    rig.blocks(30, 7)
    plant.add("rig/volts")
    plant.once()
    ids = [id for id, _, _ in plant.rows()]
    assert len(set(ids)) == 30
    from speeddata import feeding

    for size in (1, 100, 1000):
        monkeypatch.setattr(feeding, "WINDOW_BYTES", size)
        monkeypatch.setattr(forwarding, "_LOT_MESSAGES", 1 + size // 100)
        assert plant.once(begin_ns=0).messages == 30
        assert [each.id for lot in plant.door.sends for each in lot][-30:] == ids
    assert [id for id, _, _ in plant.rows()] == ids  # the log knew them all


def test_what_was_sent_and_not_remembered_goes_out_again_with_the_same_ids(plant, rig):
    rig.begin()
    rig.blocks(20)
    plant.add("rig/*")
    plant.door.lost = True
    plant.once()
    first, again = plant.door.sends[:2]
    assert [each.id for each in first] == [each.id for each in again]
    assert [each.body for each in first] == [each.body for each in again]
    assert plant.got() == counting(200)


def test_channels_keep_to_themselves(plant, rig):
    rig.begin()
    pump = Source(plant.directory, "pump")
    pump.begin()
    for _ in range(10):
        rig.block()
        pump.block(5)
    pump.end()
    plant.add("rig/*", "PUMP/volts")
    plant.once()
    assert plant.got() == counting(100)
    assert plant.got(channel="pump") == counting(50)


def test_two_customers_have_ids_of_their_own(plant, rig, tmp_path):
    rig.begin()
    rig.blocks(3)
    other = Customer(tmp_path, "other")
    for customer in (plant, other):
        customer.add("rig/*")
        customer.once()
    ids = [{id for id, _, _ in customer.rows()} for customer in (plant, other)]
    other.close()
    assert len(ids[0]) == len(ids[1]) == 3
    assert not ids[0] & ids[1]


# -- where it begins ----------------------------------------------------------------------------------------


def test_what_was_recorded_between_add_and_run_is_delivered(plant, rig):
    rig.begin()
    rig.blocks(5)
    plant.add("rig/*", since_ns=NOON + 50 * MS)
    rig.blocks(5)
    plant.once()
    assert plant.got() == counting(100)[50:]


def test_position_sends_again_from_a_moment_or_all_of_it(plant, rig):
    rig.begin()
    rig.blocks(10)
    plant.add("rig/*", since_ns=NOON + 90 * MS)
    plant.once()
    assert plant.got() == counting(100)[90:]
    assert plant.once(begin_ns=NOON + 85 * MS).messages == 2
    assert plant.once(begin_ns=0).messages == 10
    assert plant.once().messages == 0


def test_a_catch_up_that_was_cut_short_goes_on_where_it_was(plant, rig, monkeypatch):
    monkeypatch.setattr(forwarding, "_LOT_MESSAGES", 2)
    rig.begin()
    rig.blocks(10)
    plant.add("rig/*", since_ns=NOON + 90 * MS)
    plant.once()
    stop = Stop()
    before, lots = plant.door.send, []

    def send(messages):
        lots.append(messages)
        if len(lots) == 2:
            stop.ask()
        return before(messages)

    plant.door.send = send
    plant.once(stop, begin_ns=0)
    assert len(lots) == 2
    assert plant.place().block > 0
    assert plant.once().messages == 10 - 4
    assert sorted(set(plant.got())) == counting(100)


def test_what_is_not_wanted_any_more_and_then_again_begins_anew(plant, rig):
    rig.begin()
    rig.blocks(2)
    plant.add("rig/*")
    plant.once()
    plant.remove("rig/*")
    rig.blocks(2)
    plant.add("rig/volts", since_ns=NOON + 40 * MS)
    rig.blocks(1)
    plant.once()
    assert plant.got() == [*counting(20), *counting(50)[40:]]
    assert not plant.gaps


# -- while it runs ------------------------------------------------------------------------------------------


def test_what_is_recorded_while_it_runs_comes_and_new_files_and_channels_too(plant, rig, wait_for):
    rig.begin()
    rig.block()
    plant.add("*/*")
    with plant.running():
        wait_for(lambda: plant.got() == counting(10))
        rig.block()
        wait_for(lambda: plant.got() == counting(20))
        rig.begin()
        rig.block()
        pump = Source(plant.directory, "pump")
        pump.begin()
        pump.block()
        wait_for(lambda: plant.got() == counting(30))
        wait_for(lambda: plant.got(channel="pump") == counting(10))
        pump.end()


def test_a_channel_that_is_added_while_it_runs_comes_from_the_time_of_adding_on(plant, rig, wait_for):
    rig.begin()
    rig.blocks(3)
    pump = Source(plant.directory, "pump")
    pump.begin()
    pump.blocks(3)
    plant.add("rig/*")
    with plant.running():
        wait_for(lambda: plant.got() == counting(30))
        pump.block()
        rig.block()
        wait_for(lambda: plant.got() == counting(40))  # the one of pump was passed over
        plant.add("pump/*", since_ns=NOON + 20 * MS)  # and nothing comes of it now
        wait_for(lambda: plant.got(channel="pump") == counting(40)[20:])
        plant.remove("pump/*")
        pump.end()
        rig.block()
        wait_for(lambda: plant.got() == counting(50))
    assert plant.place("pump") is None


def test_a_subscription_ends_at_its_time(plant, rig, wait_for):
    rig.begin("volts", "amps")
    rig.block()
    plant.add("rig/volts")
    plant.add("rig/amps", expires_ns=time.time_ns() + 10**9)
    with plant.running():
        wait_for(lambda: plant.got("amps") == counting(10))
        wait_for(lambda: len(plant.registry.subscriptions("plant")) == 1)
        rig.block()
        wait_for(lambda: plant.got() == counting(20))
    assert plant.got("amps") == counting(10)


def test_another_form_of_the_channel_is_taken_as_it_comes(plant, rig):
    rig.begin("volts")
    rig.blocks(2)
    rig.begin("amps")
    rig.blocks(2)
    plant.add("rig/volts")
    plant.once()
    rig.begin("amps", "volts")
    rig.blocks(2)
    plant.once()
    assert plant.got() == [*counting(20), *counting(60)[40:]]


def test_a_form_without_the_signal_at_the_end_does_not_hide_what_is_not_sent_yet(plant, rig):
    rig.begin("volts")
    rig.block()
    plant.add("rig/volts")
    plant.once()
    rig.block()
    rig.begin("amps")
    rig.block()
    plant.once()
    assert plant.got() == counting(20)
    shutil.rmtree(plant.directory / "rig")
    plant.once()
    assert not plant.gaps


def test_it_waits_for_a_directory_that_is_not_there_yet_and_once_says_so(plant, rig, wait_for):
    plant.directory.rmdir()
    plant.add("rig/*")
    with pytest.raises(HostError, match="is no directory"):
        plant.once()
    with plant.running():
        wait_for(lambda: plant.registry.customer("plant").state == "waiting")
        rig.begin()
        rig.block()
        wait_for(lambda: plant.got() == counting(10))


def test_live_a_datum_is_there_well_within_half_a_second(plant, rig, wait_for):
    rig.begin()
    plant.add("rig/*")
    took = []
    with plant.running():
        for n in range(5):
            rig.block()
            begun = time.monotonic()
            wait_for(lambda n=n: len(plant.got()) == 10 * (n + 1))
            took.append(time.monotonic() - begun)
    assert min(took) < 0.5


# -- outages ------------------------------------------------------------------------------------------------


def test_what_is_recorded_during_an_outage_comes_afterwards_in_order(plant, rig, wait_for):
    rig.begin()
    rig.block()
    plant.add("rig/*")
    with plant.running() as run:
        wait_for(lambda: plant.got() == counting(10))
        plant.door.shut = True
        rig.blocks(5)
        wait_for(lambda: plant.registry.customer("plant").state == "unreachable")
        known = plant.registry.customer("plant")
        assert "nobody is there" in known.error
        rig.begin()
        rig.blocks(5)
        tried = plant.door.tried
        wait_for(lambda: plant.door.tried > tried + 3)
        assert plant.got() == counting(10)
        plant.door.shut = False
        wait_for(lambda: plant.got() == counting(110))
        sent = run.end()
    assert (sent.messages, sent.gaps) == (11, 0)


def test_a_secret_that_is_renewed_while_it_runs_heals_within_a_second(plant, rig, wait_for):
    rig.begin()
    rig.block()
    plant.add("rig/*")
    with plant.running():
        wait_for(lambda: plant.got() == counting(10))
        plant.door.right = "two"
        rig.blocks(3)
        wait_for(lambda: plant.registry.customer("plant").state == "denied")
        begun = time.monotonic()
        plant.door.secret = "two"
        wait_for(lambda: plant.got() == counting(40))
        assert time.monotonic() - begun < 2.0
        wait_for(lambda: plant.registry.customer("plant").state == "sending")


def test_asked_to_end_during_an_outage_it_does_at_once(plant, rig, wait_for, monkeypatch):
    monkeypatch.setattr(reconnecting, "_FIRST_S", 60.0)
    monkeypatch.setattr(reconnecting, "_LONGEST_S", 60.0)
    plant.door.shut = True
    rig.begin()
    rig.blocks(5)
    plant.add("rig/*")
    with plant.running() as run:
        wait_for(lambda: plant.registry.customer("plant").state == "unreachable")
        begun = time.monotonic()
        run.end()
        assert time.monotonic() - begun < 2.0
    assert plant.registry.customer("plant").state == "idle"
    plant.door.shut = False
    plant.once()
    assert plant.got() == counting(50)


def test_once_tries_so_long_and_the_next_time_sends_all(plant, rig):
    plant.door.shut = True
    rig.begin()
    rig.blocks(5)
    plant.add("rig/*")
    with pytest.raises(Unreachable, match="nobody is there") as told:
        plant.once(retry_s=0.1)
    assert told.value.status == 4
    known = plant.registry.customer("plant")
    assert (known.state, "nobody is there" in known.error) == ("failed", True)
    plant.door.shut = False
    plant.once()
    assert plant.got() == counting(50)


def test_every_body_is_the_envelope_of_the_api(plant, rig):
    rig.begin()
    rig.block(1)
    plant.add("rig/*")
    plant.once()
    ((_, _, body),) = plant.rows()
    assert json.loads(body) == {
        "data": {
            "items": [
                {
                    "id": str(series_id("rig", "volts")),
                    "datapoints": [{"time": "2025-12-03T12:00:00.000Z", "value": 0.0, "status": 192}],
                }
            ]
        },
        "schema": "equinor/plant/schemas/ingest/datapoints_v2",
    }
