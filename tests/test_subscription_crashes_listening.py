"""`subscribe listen` killed with -9 again and again, while others go on sending: what comes out in the end.

What is promised: nothing is missing, all is in order. A line comes twice only where a kill came after it was
written and before that was noted, which is the last lot of --more messages; nothing that was acknowledged
comes again.
"""

from __future__ import annotations

import fcntl
import random
import struct
import subprocess
import termios
import threading

import pytest
from brokers import kafka_broker, nats_server
from subscribe_by_hand import subscribe

assert subscribe is not None  # a fixture

LOT = 10
PADDING = b" " + b"x" * 2000  # a pipe that nobody reads is full after three lots
PIPE_BYTES, MORE_THAN_FITS = 55_000, 150  # of 65536, since pages are not filled up; messages
LISTEN = ("listen", "--payload-only", "--dedup", "1h", "--checkpoint", "place", "--more", str(LOT))


@pytest.fixture(params=["log", "nats", "kafka"])
def bench(request, tmp_path):
    """A destination, and how often to kill: a group of Kafka lets nobody in for some seconds after each."""
    if request.param == "log":
        yield f"sqlite:{tmp_path}/hub.db", 6
    elif request.param == "nats":
        pytest.importorskip("nats", reason="nats-py is not installed")
        with nats_server(tmp_path / "nats") as server:
            yield f"nats://127.0.0.1:{server.port}/SPEED", 5
    else:
        pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")
        with kafka_broker(tmp_path) as server:
            yield f"kafka://127.0.0.1:{server.port}/speed?x.session.timeout.ms=6000", 1


def unread(pipe):
    """Bytes that are still in it."""
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))
    return count


def test_nothing_is_missing_nor_out_of_order_nor_twice_but_for_the_last_lot(subscribe, bench, wait_for):
    destination, kills = bench
    subscribe.ok("set", input=destination)
    over, sent = threading.Event(), []
    producer = subscribe.start("produce", stdin=subprocess.PIPE)

    def feed():
        while not over.wait(0.001):
            producer.stdin.write(b"%d%s\n" % (len(sent), PADDING))
            producer.stdin.flush()
            sent.append(True)
        producer.stdin.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    told = threading.Thread(target=producer.stdout.rest, args=(300.0,))  # lest it waits for a reader
    told.start()
    parts = []
    try:
        for number in range(kills):
            running = subscribe.start(*LISTEN, "--follow")
            begun = running.stdout.lines(random.randrange(1, 6 * LOT))
            if number % 2 == 0:  # in the middle of a lot that it cannot get rid of
                enough = int(begun[-1].split()[0]) + MORE_THAN_FITS
                wait_for(lambda enough=enough: len(sent) > enough)
                wait_for(lambda running=running: unread(running.process.stdout) >= PIPE_BYTES)
            running.kill()
            *whole, _torn = running.stdout.rest().decode().split("\n")
            parts.append([int(line.split()[0]) for line in [*begun, *whole]])
    finally:
        over.set()
        feeder.join()
        told.join()
    assert producer.wait() == 0
    parts.append([int(line.split()[0]) for line in subscribe.ok(*LISTEN).splitlines()])
    behind = 0
    for part in filter(None, parts):
        assert part == list(range(part[0], part[0] + len(part)))
        assert behind - LOT <= part[0] <= behind
        behind = part[-1] + 1
    assert behind == len(sent)
    assert subscribe.ok(*LISTEN) == ""
