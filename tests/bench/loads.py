"""Sources for a benchmark: a process that offers datums at the rate it is told, and says what it offered.

    python loads.py single|trains HOST:PORT SIZE [HEAD]   HEAD, in hex, goes before each datum
    python loads.py stamped HOST:PORT SIZE                each datum carries the time of its sending
    python loads.py channels HOST:PORT SIZE COUNT         COUNT announced channels, of RATE each

Each line "RATE SECONDS" on stdin is a load; the answer is JSON. `single` sends each datum by itself (a header
each in sendmmsg), as evenly as it can; `trains` sends what is due once a millisecond, and lets the kernel cut
it (UDP_SEGMENT).
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle

import payloads

from speeddata.avro.schema import parse
from speeddata.batch import Batch
from speeddata.names import Endpoint
from speeddata.sending.sender import SourceSender
from speeddata.wire.datagrams import Sender

TRAIN_PERIOD_S = 0.001  # as `speeddata send` does
EVEN_PERIOD_S = 50e-6  # hardly a sleep: about the finest that a process can
BATCH = 1020  # datums sent at once, at most
ROUND = 5  # every total is a multiple of this, so that the decimated group has an exact share
PATIENCE = 1.2  # a source that needs longer than so many times SECONDS has offered what it can

Send = Callable[[int], object]


def paced(rate_hz: float, seconds: float, period_s: float, send: Send) -> dict[str, float]:
    """Call *send* with how many datums are due, until all are sent.

    Returns:
        `sent`, the `seconds` that it took, and when it `ended`, monotonic seconds.
    """
    total = max(1, round(rate_hz * seconds) // ROUND) * ROUND
    sent, begun = 0, time.monotonic()
    while sent < total:
        elapsed = time.monotonic() - begun
        if elapsed > PATIENCE * seconds:
            total = sent + -sent % ROUND
        count = min(total - sent, int(elapsed * rate_hz) + 1 - sent, BATCH)
        if count > 0:
            send(count)
            sent += count
        if count < BATCH:
            time.sleep(period_s)
    ended = time.monotonic()
    return {"sent": sent, "seconds": max(ended - begun, sent / rate_hz), "ended": ended}


def bare(kind: str, endpoint: Endpoint, size: int, head: bytes) -> Send:
    """A source that announces nothing."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
    if kind == "stamped":
        sock.connect(endpoint.address)
        rest = payloads.datum(size, time.time_ns())[payloads.TIME_BYTES :]

        def send_stamped(count: int) -> None:
            for _ in range(count):
                sock.send(payloads.time_bytes(time.time_ns()) + rest)

        return send_stamped
    sender = Sender([sock], wait=True, segmented=kind == "trains")
    data, offsets = payloads.datums(size, BATCH, head)
    return lambda count: sender.send(data, offsets[: count + 1], endpoint.address)


def announced(endpoint: Endpoint, size: int, count: int, stack: ExitStack) -> Send:
    """*count* channels, each with a socket of its own, that take turns."""
    schema = parse(payloads.schema_text(size))
    sources = [
        stack.enter_context(SourceSender(endpoint, name=f"bench_{i}", schema=schema)) for i in range(count)
    ]
    data, offsets = payloads.datums(size, 1)
    one, turns = Batch(schema, data, 1, offsets), cycle(sources)

    def send(due: int) -> None:
        for _ in range(due):
            next(turns).send(one)

    return send


def main() -> None:
    kind, where, size, *rest = sys.argv[1:]
    endpoint, channels = Endpoint.parse(where), 1
    period_s = TRAIN_PERIOD_S if kind == "trains" else EVEN_PERIOD_S
    with ExitStack() as stack:
        if kind == "channels":
            channels = int(rest[0])
            send = announced(endpoint, int(size), channels, stack)
        else:
            send = bare(kind, endpoint, int(size), bytes.fromhex(rest[0]) if rest else b"")
        print("ready", flush=True)
        for line in sys.stdin:
            rate_hz, seconds = map(float, line.split())
            print(json.dumps(paced(rate_hz * channels, seconds, period_s, send)), flush=True)


if __name__ == "__main__":
    main()
