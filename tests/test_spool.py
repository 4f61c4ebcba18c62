import threading
import time

import pytest

from speeddata.spool import Spool


def test_items_come_out_in_the_order_they_went_in():
    spool = Spool(100)
    assert [spool.put(word, 10) for word in ("volts", "amps", "watts")] == [True, True, True]
    assert (len(spool), spool.bytes) == (3, 30)
    spool.close()
    assert list(spool) == ["volts", "amps", "watts"]
    assert (len(spool), spool.bytes) == (0, 0)


def test_a_full_spool_refuses_at_once_and_takes_again_after_a_get():
    spool = Spool(100)
    assert spool.put("a", 60)
    assert spool.put("b", 40)
    assert not spool.put("c", 1)
    assert spool.get() == "a"
    assert spool.put("c", 60)
    assert not spool.put("d", 1)


def test_one_item_alone_fits_however_large():
    spool = Spool(100)
    assert spool.put("huge", 5000)
    assert not spool.put("small", 1)
    assert spool.get() == "huge"
    assert spool.put("small", 1)


def test_closing_lets_out_what_waits_and_nothing_in():
    spool = Spool(100)
    spool.put("last", 1)
    spool.close()
    assert spool.closed
    assert not spool.drained
    assert not spool.put("late", 1)
    assert spool.get() == "last"
    assert spool.drained
    assert spool.get() is None


@pytest.mark.parametrize("timeout_s", [0, 0.01])
def test_waiting_for_nothing_ends_at_the_timeout(timeout_s):
    spool = Spool(100)
    assert spool.get(timeout_s) is None
    assert not spool.drained


def until_waiting(spool):
    deadline = time.monotonic() + 10
    while not spool._waiting:
        assert time.monotonic() < deadline


def test_a_put_wakes_the_consumer_that_waits():
    spool, taken = Spool(100), []
    consumer = threading.Thread(target=lambda: taken.append(spool.get(60)), daemon=True)
    consumer.start()
    until_waiting(spool)
    spool.put("volts", 1)
    consumer.join(10)
    assert taken == ["volts"]


def test_closing_wakes_the_consumer_that_waits():
    spool, taken = Spool(100), []
    consumer = threading.Thread(target=lambda: taken.extend(spool), daemon=True)
    consumer.start()
    until_waiting(spool)
    spool.close()
    consumer.join(10)
    assert not consumer.is_alive()
    assert taken == []


@pytest.mark.parametrize("last", ["put", "close"])
def test_items_gather_until_there_is_enough_or_nothing_more_comes(last):
    spool = Spool(100)
    gathering = threading.Thread(target=spool.gather, args=(30, 10))
    gathering.start()
    until_waiting(spool)
    spool.put("volts", 29)
    gathering.join(0.05)
    assert gathering.is_alive()
    if last == "put":
        spool.put("amps", 1)
    else:
        spool.close()
    gathering.join(5)
    assert not gathering.is_alive()
    assert spool.get() == "volts"


def test_gathering_ends_at_its_timeout_and_at_once_where_enough_waits():
    spool = Spool(100)
    spool.put("volts", 29)
    spool.gather(30, 0.01)
    spool.put("amps", 1)
    begun = time.monotonic()
    spool.gather(30, 10)
    assert time.monotonic() - begun < 5
    assert list(iter(spool.get, "amps")) == ["volts"]


def test_what_is_accepted_by_one_thread_is_what_the_other_gets():
    spool, taken = Spool(1000), []
    consumer = threading.Thread(target=lambda: taken.extend(spool), daemon=True)
    consumer.start()
    accepted = [n for n in range(50_000) if spool.put(n, 7)]
    spool.close()
    consumer.join(30)
    assert taken == accepted
    assert spool.bytes == 0


def test_a_spool_of_no_bytes_is_refused():
    with pytest.raises(ValueError, match="holds nothing"):
        Spool(0)
