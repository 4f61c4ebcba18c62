"""Members of groups that count what they receive, in a process of their own.

    python members.py plain|gro SIZE GROUP:PORT...     each line on stdin: the counts so far, in JSON
    python members.py latency SIZE GROUP:PORT          each line on stdin: latencies since the last one

`plain` takes datagrams one by one (recvmmsg), `gro` whole trains (UDP_GRO), as `speeddata tap` does.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import select
import socket
import sys
import time

import numpy as np
import payloads

from speeddata.names import Endpoint
from speeddata.wire import linux_datagrams as linux
from speeddata.wire.interfaces import receiving
from speeddata.wire.sockets import listen

SLOTS = 256
GATHER_S = 0.002  # a wake-up for each few datums would take the CPU from what is measured
BUFFER_BYTES = 128 << 20


class Counter:
    """Takes datagrams and keeps nothing of them but their number."""

    def __init__(self) -> None:
        headers = ctypes.sizeof(linux._Mmsghdr)
        self._memory = mmap.mmap(-1, SLOTS * (headers + ctypes.sizeof(linux._Iovec)) + (1 << 16))
        view = np.frombuffer(self._memory, np.uint8)
        self._base = view.ctypes.data
        iovecs_at, data_at = SLOTS * headers, len(view) - (1 << 16)
        self._headers = view[:iovecs_at].view(np.dtype(linux._Mmsghdr))
        iovecs = view[iovecs_at:data_at].view(np.dtype(linux._Iovec))
        self._headers["hdr"]["iov"] = self._base + iovecs_at + np.arange(SLOTS) * iovecs.itemsize
        self._headers["hdr"]["iovlen"] = 1
        iovecs["base"], iovecs["len"] = self._base + data_at, 1 << 16  # all into one place

    def take(self, fd: int, size: int) -> int:
        """How many datums of *size* bytes waited at *fd*."""
        count = 0
        while True:
            got = linux._recvmmsg(fd, self._base, SLOTS, socket.MSG_DONTWAIT, None)
            if got <= 0:
                return count
            lengths = self._headers["len"][:got]
            count += int(lengths.sum()) // size
            if got < SLOTS:
                return count


def count(size: int, socks: list[socket.socket]) -> None:
    """Answer each line on stdin with what came by then, a number for each socket."""
    counter, counts, last = Counter(), [0] * len(socks), 0.0
    poll = select.poll()
    poll.register(0, select.POLLIN)
    for sock in socks:
        poll.register(sock, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if ready != {0}:
            time.sleep(GATHER_S)
            for i, sock in enumerate(socks):
                if got := counter.take(sock.fileno(), size):
                    counts[i] += got
                    last = time.monotonic()
        if 0 in ready:
            if not sys.stdin.readline():
                return
            drops = [linux.drops(sock) for sock in socks]
            print(json.dumps({"counts": counts, "last": last, "drops": drops}), flush=True)


def latency(sock: socket.socket) -> None:
    """Answer each line on stdin with milliseconds from sending to arrival, of what came since the last."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(sock, select.POLLIN)
    taken: list[tuple[bytes, int]] = []
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if sock.fileno() in ready:
            try:
                while True:
                    taken.append((sock.recv(1 << 16), time.time_ns()))
            except BlockingIOError:
                pass
        if 0 in ready:
            if not sys.stdin.readline():
                return
            taken_ms = [(arrived - payloads.time_of(datum)) / 1e6 for datum, arrived in taken]
            taken.clear()
            print(json.dumps(taken_ms), flush=True)


def main() -> None:
    kind, size, *endpoints = sys.argv[1:]
    loopback = receiving(["127.0.0.1"])
    socks = [
        listen(Endpoint.parse(each), interfaces=loopback, buffer_bytes=BUFFER_BYTES) for each in endpoints
    ]
    if kind == "gro":
        assert all(map(linux.ask_for_trains, socks)), "no UDP_GRO here"
    print("ready", flush=True)
    if kind == "latency":
        latency(*socks)
    else:
        count(int(size), socks)


if __name__ == "__main__":
    main()
