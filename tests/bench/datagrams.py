"""How many datums a second of CPU time takes to send and to receive, over loopback, one process each.

    python tests/bench/datagrams.py [SECONDS]

Each row offers datums as fast as the sender can for SECONDS (0.8). What counts is the work of a datum, so the
figures are datums by the CPU time of each side; `lost` says how far the receiver fell behind.
"""

from __future__ import annotations

import multiprocessing
import select
import sys
import time
from multiprocessing.connection import Connection

import numpy as np

from speeddata.names import Endpoint
from speeddata.wire import interfaces
from speeddata.wire.datagrams import Receiver, Sender, group_sockets, listen

GROUP = "239.255.77.9"
BATCH = 512  # datums a call of `Sender.send`
GATHER_S = 0.002

WAYS = {
    "recvfrom, sendto": ({"native": False}, {"native": False}),
    "recvmmsg, sendmmsg": ({"coalesced": False}, {"segmented": False}),
    "recvmmsg, trains": ({"coalesced": False}, {"segmented": True}),
    "trains, trains": ({"coalesced": True}, {"segmented": True}),
}
SIZES = {"64 B": [64] * BATCH, "809 B": [809] * BATCH, "27 or 28 B": [27, 28] * (BATCH // 2)}


def send(
    endpoint: Endpoint, way: dict[str, bool], sizes: list[int], seconds: float, report: Connection
) -> None:
    """The other process: offer datums, then tell how many and what they cost."""
    sender = Sender(group_sockets(interfaces.named(["127.0.0.1"]), ttl=1), **way)
    data, offsets = bytes(sum(sizes)), np.cumsum([0, *sizes])
    sent, cpu, ends = 0, time.process_time(), time.monotonic() + seconds
    while time.monotonic() < ends:
        sent += sender.send(data, offsets, endpoint.address)
    report.send((sent, time.process_time() - cpu))
    report.close()


def receive(receiver: Receiver, report: Connection) -> tuple[int, float, int, float]:
    """Take datums until the sender has told its counts and nothing waits any more."""
    poll = select.poll()
    poll.register(receiver, select.POLLIN)
    got, cpu = 0, time.process_time()
    while not report.poll() or poll.poll(0):
        poll.poll(100)
        while arrivals := receiver.receive():
            got += sum(len(arrival.offsets) - 1 for arrival in arrivals)
            if not receiver.more:
                time.sleep(GATHER_S)
    spent = time.process_time() - cpu
    sent, sender_spent = report.recv()
    return got, spent, sent, sender_spent


def main(seconds: float) -> None:
    lo = interfaces.named(["127.0.0.1"])
    titles = ("datum", "sent/CPU s", "received/CPU s", "both", "lost")
    print("{:20} {:>11} {:>11} {:>15} {:>9} {:>6}".format("receiving, sending", *titles))
    for number, (name, (taking, sending)) in enumerate(WAYS.items()):
        for label, sizes in SIZES.items():
            endpoint = Endpoint(GROUP, 21_000 + number)
            receiver = Receiver(listen(endpoint, interfaces=lo), **taking)
            mine, theirs = multiprocessing.get_context("spawn").Pipe(duplex=False)
            arguments = (endpoint, sending, sizes, seconds, theirs)
            sender = multiprocessing.get_context("spawn").Process(target=send, args=arguments)
            sender.start()
            got, spent, sent, sender_spent = receive(receiver, mine)
            sender.join()
            receiver.close()
            one, other = sent / sender_spent, got / spent
            both = 1 / (1 / one + 1 / other)
            lost = 1 - got / sent
            print(f"{name:20} {label:>11} {one:11,.0f} {other:15,.0f} {both:9,.0f} {lost:6.1%}", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.8)
